// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bulkPort = 8080
	soldBPS  = 20_000_000
	usedBPS  = 18_000_000 // what the customer draws of it: the same with and without an agent
	learned  = 16_384     // MACs that the bridge may learn: doctor's advice
)

// router is a kiosk with a paying customer, a flooding one, and an unpaid one that wants to
// know the portal's address.
type router struct {
	kiosk    *lab.Kiosk
	agent    *harness.Agent // nil: nothing is enforced
	api      *harness.API
	download *lab.Transfer
	unpaid   *lab.Counter  // packets of the unpaid device that reached the server
	dns      *lab.Counter  // what came to the router's resolver
	started  time.Duration // on CLOCK_BOOTTIME
	macs     uint64        // made up until now
	closers  []func() error
}

// newRouter has the customer's download running. Without a binary nothing is enforced.
func newRouter(ctx context.Context, binary string) (r *router, err error) {
	r = &router{started: lab.Boottime()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	l, err := lab.New("hs-flood")
	if err != nil {
		return r, err
	}
	r.onClose(l.Close)
	if r.kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 3}); err != nil {
		return r, err
	}
	if err := r.kiosk.LimitFDB(learned); err != nil {
		return r, err
	}
	if binary != "" {
		err = r.enforce(ctx, binary)
	}
	if err != nil {
		return r, err
	}
	return r, r.watch()
}

func (r *router) enforce(ctx context.Context, binary string) (err error) {
	if r.agent, err = harness.New(r.kiosk, binary); err != nil {
		return err
	}
	r.onClose(r.agent.Close)
	if err := r.agent.Start(); err != nil {
		return err
	}
	r.api = r.agent.API()
	r.onClose(func() error { r.api.Close(); return nil })
	return r.agent.ConnectAll(ctx, []string{r.kiosk.Customers[0].MAC.String()}, session)
}

// session is more than a test uses.
var session = map[string]any{
	"type": "time_or_data", "time_secs": 86400, "data_bytes": uint64(1e12),
	"down_bps": soldBPS, "up_bps": soldBPS,
}

// watch starts the download, and the witnesses of what passes unpaid.
func (r *router) watch() (err error) {
	if r.unpaid, err = r.kiosk.Server.Count(lab.Ingress, lab.Uplink,
		"ip saddr 10.0.0.0/8 ip saddr != "+r.kiosk.Customers[0].Addr4.String(), "ip6 saddr fd77::/64"); err != nil {
		return err
	}
	if r.dns, err = r.kiosk.Router.Count(lab.Ingress, lab.Bridge, fmt.Sprintf("udp dport %d", portDNS)); err != nil {
		return err
	}
	if err := r.resolve(); err != nil {
		return err
	}
	stop, err := r.kiosk.Server.ServeBulkPaced(bulkPort, usedBPS)
	if err != nil {
		return err
	}
	r.onClose(func() error { stop(); return nil })
	r.download, err = r.kiosk.Customers[0].Download(netip.MustParseAddrPort(fmt.Sprintf("%s:%d", lab.Server4, bulkPort)), 1)
	if err == nil {
		r.onClose(func() error { r.download.Stop(); return nil })
	}
	return err
}

// phase is what a router did for a while.
type phase struct {
	bitsPerSecond float64 // of the customer's download
	frames        uint64  // of the flood
	dns           uint64  // bytes that came to the resolver
	honest        asked
}

// flooded measures the download, and what the resolver answers to a device with few queries, during
// a flood by what do does until its context ends.
func (r *router) flooded(ctx context.Context, during time.Duration, do func(context.Context) (uint64, error)) (p phase, err error) {
	before, err := r.dns.Read()
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	var asking sync.WaitGroup
	var failed error
	asking.Go(func() { p.honest, failed = r.ask(ctx) })
	began, bytes := lab.Boottime(), r.download.Bytes()
	p.frames, err = do(ctx)
	p.bitsPerSecond = float64(r.download.Bytes()-bytes) * 8 / (lab.Boottime() - began).Seconds()
	asking.Wait()
	after, unread := r.dns.Read()
	p.dns = after.Bytes - before.Bytes
	return p, errors.Join(err, failed, unread)
}

// send floods with frames of a kind, each from another MAC.
func (r *router) send(k kind, perSecond int) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (uint64, error) {
		first := r.macs
		sent, err := r.kiosk.Customers[1].SendPaced(ctx, lab.Uplink, k.frame(r.kiosk), perSecond, func(n uint64, frame []byte) {
			from(first+n, frame)
			k.change(n, frame)
		})
		r.macs += sent
		return sent, err
	}
}

// wasOpen fails when nothing passed unpaid: a router without an agent lets all through,
// or the witness does not see it.
func (r *router) wasOpen() error {
	passed, err := r.unpaid.Read()
	if err == nil && passed.Packets == 0 {
		err = errors.New("nothing of a flood reached the server by way of an open router")
	}
	return err
}

func quiet(ctx context.Context) (uint64, error) {
	<-ctx.Done()
	return 0, nil
}

func (r *router) onClose(f func() error) { r.closers = append(r.closers, f) }

// Close takes all down, what came last first.
func (r *router) Close() (err error) {
	for i := len(r.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, r.closers[i]())
	}
	return err
}
