// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/flow"
)

const (
	port      = 9000
	upBits    = 2e6
	downBits  = 6e6
	speedFlag = "50" // Mbit/s: the limiter works, and does not limit
)

// kiosk has a customer who paid, with numbered packets both ways, and one who did not
// and sends all the same. What arrives is counted at the far ends.
type kiosk struct {
	*lab.Kiosk
	agent   *rig.Agent
	session rig.Session
	since   time.Time // connected
	wire    *lab.Wire
	flows   []*flow.Flow
	unpaid  *lab.Counter // at the server: of the customer who did not pay
	closers []func() error
}

const payer, stranger = 0, 1

func open(ctx context.Context, l *lab.Lab, binary string) (k *kiosk, err error) {
	k = new(kiosk)
	if k.Kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsInside}); err != nil {
		return k, err
	}
	if k.agent, err = rig.New(k.Kiosk, binary, "checkpoint: 1h", "limiter: fair"); err != nil {
		return k, err
	}
	k.closers = append(k.closers, k.agent.Close)
	if err := k.agent.Start(); err != nil {
		return k, err
	}
	if k.wire, err = k.Wire(payer); err != nil {
		return k, err
	}
	if k.unpaid, err = k.Server.Count(lab.Ingress, lab.Uplink, "ip saddr "+k.Customers[stranger].Addr4.String()); err != nil {
		return k, err
	}
	if err := k.sell(); err != nil {
		return k, err
	}
	return k, k.send(ctx)
}

func (k *kiosk) sell() (err error) {
	device := k.Customers[payer].MAC.String()
	k.session, err = k.agent.Buy(device, "--type", "time_or_data", "--time", "10h", "--data", "100GB", "--down", speedFlag, "--up", speedFlag)
	if err != nil {
		return err
	}
	k.since = time.Now()
	_, err = k.agent.Connect(device)
	return err
}

// send starts the payer's traffic both ways, and the stranger's.
func (k *kiosk) send(ctx context.Context) error {
	customer := k.Customers[payer]
	for to, bits := range map[*lab.Host]float64{k.Server: upBits, customer: downBits} {
		from := customer
		if to == customer {
			from = k.Server
		}
		f, err := flow.Start(ctx, from, to, port, bits)
		if err != nil {
			return err
		}
		k.flows = append(k.flows, f)
		k.closers = append(k.closers, f.Close)
	}
	f, err := flow.Start(ctx, k.Customers[stranger], k.Server, port+1, upBits)
	if err != nil {
		return err
	}
	k.closers = append(k.closers, f.Close)
	return k.goesOn()
}

// goesOn waits until packets flow both ways.
func (k *kiosk) goesOn() error {
	for _, f := range k.flows {
		if err := f.GoesOn(); err != nil {
			return err
		}
	}
	return nil
}

var limiterLine = regexp.MustCompile(`(?m)^limiter: .*$`)

// become stops the agent, cleanly or not, and starts another version of it.
func (k *kiosk) become(v version, kill bool) error {
	stop := k.agent.Stop
	if kill {
		stop = k.agent.Kill
	}
	config, err := os.ReadFile(k.agent.Config())
	if err != nil {
		return err
	}
	config = limiterLine.ReplaceAll(config, []byte("limiter: "+v.limiter))
	if err := errors.Join(stop(), os.WriteFile(k.agent.Config(), config, 0o600)); err != nil {
		return err
	}
	if err := k.goesOn(); err != nil { // without any agent
		return err
	}
	k.agent.Use(v.binary)
	return errors.Join(k.agent.Start(), k.goesOn())
}

// quiet ends the payer's traffic.
func (k *kiosk) quiet() (err error) {
	for _, f := range k.flows {
		err = errors.Join(err, f.End())
	}
	return err
}

// paid waits for packets of the stranger, who was let in: the counter sees them.
func (k *kiosk) paid(before lab.Count) error {
	var failed error
	err := flow.Until("packets of the stranger, who was let in", func() bool {
		var after lab.Count
		after, failed = k.unpaid.Read()
		return failed != nil || after.Packets > before.Packets
	})
	return errors.Join(failed, err)
}

// close undoes what open did, in reverse.
func (k *kiosk) close() (err error) {
	for _, c := range slices.Backward(k.closers) {
		err = errors.Join(err, c())
	}
	return err
}
