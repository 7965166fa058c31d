// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// What every customer has bought: more than the benchmark can send, at a speed
// that it cannot reach, so that all is checked and nothing is dropped.
const (
	speedBits  = 100_000_000_000
	quotaBytes = 1_000_000_000_000_000
)

// subject is a way to enforce what customers bought.
type subject struct {
	name string
	most int // customers that it bears; 0: as many as are asked for
	// foreign is a program of others, which other versions of it, or another kernel,
	// may keep from working: the rest is measured without it.
	foreign bool
	open    bool // it passes every device
	enforce func(ctx context.Context, r *router) error
}

// router is a kiosk of its own for one subject: subjects take turns within
// milliseconds, with all their customers connected.
type router struct {
	subject string
	kiosk   *lab.Kiosk
	// customers are emulated ones, which send generated frames, and last the one
	// that is a host.
	customers []lab.EmulatedCustomer
	closers   []func() error // in the order of their making
}

func newRouter(ctx context.Context, s subject, customers int) (r *router, err error) {
	r = &router{subject: s.name}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("a router with %s: %w", s.name, err), r.Close())
		}
	}()
	l, err := lab.New("hs-forward")
	if err != nil {
		return r, err
	}
	r.onClose(l.Close)
	if r.kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 1}); err != nil {
		return r, err
	}
	if r.customers, err = r.kiosk.EmulateCustomers(customers); err != nil {
		return r, err
	}
	host := r.kiosk.Customers[0]
	r.customers = append(r.customers, lab.EmulatedCustomer{MAC: host.MAC, Addr4: host.Addr4})
	err = errors.Join(countAndDrop(r.kiosk.Server, lab.Uplink), countAndDrop(r.kiosk.Customers[0], lab.Uplink))
	if err != nil {
		return r, err
	}
	if err := s.enforce(ctx, r); err != nil || s.open {
		return r, err
	}
	return r, r.checkDrops()
}

// checkDrops checks that packets of an unpaid device do not pass: a subject that passes
// every device would be fast.
func (r *router) checkDrops() error {
	const tried = 5 * time.Millisecond
	unpaid := lab.EmulatedCustomer{MAC: lab.EmulatedMAC(1 << 20), Addr4: netip.MustParseAddr("10.80.255.254")}
	generator, err := r.kiosk.Customers[0].GenerateFrames(lab.Uplink, [][]byte{r.kiosk.Up(unpaid, 64)}, make([]byte, 64-lab.UDPOverIPv4))
	if err != nil {
		return err
	}
	before, _, err := r.kiosk.Server.InterfaceCount(lab.Uplink)
	if err == nil {
		_, err = generator.Run(0, tried)
	}
	after, _, readErr := r.kiosk.Server.InterfaceCount(lab.Uplink)
	if err = errors.Join(err, readErr, generator.Close()); err != nil {
		return err
	}
	// The router itself may have asked for an address.
	const chatter = 5
	if passed := after.Packets - before.Packets; passed > chatter {
		return fmt.Errorf("%d packets of an unpaid device passed", passed)
	}
	return nil
}

// emulated returns the customers without a host.
func (r *router) emulated() []lab.EmulatedCustomer { return r.customers[:len(r.customers)-1] }

func (r *router) onClose(f func() error) { r.closers = append(r.closers, f) }

// Close takes all down, what came last first.
func (r *router) Close() (err error) {
	for i := len(r.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, r.closers[i]())
	}
	r.closers = nil
	return err
}

// feed runs a program in the router with a script on its standard input.
func (r *router) feed(ctx context.Context, script, program string, args ...string) error {
	cmd := r.kiosk.Router.Command(program, args...)
	cmd.Stdin = strings.NewReader(script)
	return finish(ctx, cmd)
}

// finish runs a command; its error holds the beginning of what it said.
func finish(ctx context.Context, cmd *exec.Cmd) error {
	const enough = 400
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said.Bytes()[:min(said.Len(), enough)])
	}
	return nil
}
