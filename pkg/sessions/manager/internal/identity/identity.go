// SPDX-License-Identifier: Apache-2.0

// Package identity binds connected devices to the address or bridge port they use, and
// reports a MAC that is seen elsewhere.
package identity

import (
	"context"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Observer compares where the MAC of a connected device is seen with where it was before.
// Safe for concurrent use.
type Observer struct {
	clock   *wallclock.Clock
	table   *running.Table
	ledger  *ledger.Ledger
	enforce *enforce.Enforcer
	start   *start.Starter
	bind    sessions.BindMode
}

// New returns an Observer.
func New(clock *wallclock.Clock, table *running.Table, ledger *ledger.Ledger,
	enforce *enforce.Enforcer, start *start.Starter, bind sessions.BindMode) *Observer {
	return &Observer{clock: clock, table: table, ledger: ledger, enforce: enforce, start: start, bind: bind}
}

// Rebind binds a device that is about to be connected to where it is now. One that is
// connected already is bound anew only when it is elsewhere, and the address that it is
// bound to does not answer any more: a copy of its MAC cannot replace a customer that is
// present.
func (o *Observer) Rebind(ctx context.Context, id sessions.DeviceID) error {
	if o.bind != sessions.BindIP {
		return nil
	}
	held := o.enforce.Lock(id)
	defer held.Unlock()
	d, s, err := o.ledger.Lookup(ctx, id)
	if err != nil {
		return err
	}
	found := o.enforce.Locate(d.MAC)
	at := sessions.AddressOf(d, found)
	if at == d.Bound || s != nil && (!at.IsValid() || sessions.Answers(found, d.Bound)) {
		return nil
	}
	return o.bindTo(ctx, held, d, s != nil, at)
}

// learn binds a connected device of which no address was known to one that it uses.
func (o *Observer) learn(ctx context.Context, s running.Snapshot, seen dataplane.Neighbor) error {
	if o.bind != sessions.BindIP || seen.State == dataplane.NeighStale || s.Bound != [4]byte{} {
		return nil
	}
	held := o.enforce.Lock(s.Device)
	defer held.Unlock()
	d, now, err := o.ledger.Lookup(ctx, s.Device)
	if err != nil || now == nil || now.ID != s.ID || d.Bound.IsValid() {
		return err
	}
	return o.bindTo(ctx, held, d, true, seen.Addr)
}

// bindTo stores an address, and has the kernel hold a connected device to it.
func (o *Observer) bindTo(ctx context.Context, held enforce.Locked, d sessions.Device, connected bool, at netip.Addr) error {
	ctx = context.WithoutCancel(ctx)
	err := o.ledger.Commit(ctx, func(c *ledger.Tx) error {
		d, err := c.Device(d.ID)
		if err != nil {
			return err
		}
		d.Bound = at
		c.Known = append(c.Known, d)
		return c.PutDevice(&d)
	})
	if err != nil || !connected {
		return err
	}
	return o.enforce.Enforce(ctx, held, d.ID)
}

// Sight takes in where the kernel saw a client: it publishes client.conflict, and
// enforces or learns what the configuration binds clients to. A client that is not
// connected any more is ignored.
func (o *Observer) Sight(ctx context.Context, seen dataplane.Neighbor) error {
	s, running := o.table.Account(seen.Account)
	if !running || s.MAC != seen.MAC {
		return nil
	}
	if seen.Addr.IsValid() {
		if err := o.learn(ctx, s, seen); err != nil {
			return err
		}
		return o.observe(ctx, s.Session, sessions.DiffersAddress, seen.Addr.String(), seen.State)
	}
	return o.observe(ctx, s.Session, sessions.DiffersPort, seen.Port, seen.State)
}

// observe publishes an observation that differs from the one before.
func (o *Observer) observe(ctx context.Context, s sessions.Session, differs, value string, evidence dataplane.NeighState) error {
	seen := running.Observation{Session: s.ID, Differs: differs, Value: value, Evidence: evidence, At: o.clock.Boot()}
	if evidence != dataplane.NeighStale && differs != sessions.DiffersPort && !o.table.HasHistory(s.ID) {
		var err error
		if seen.Device, err = o.ledger.Device(ctx, s.Device); err != nil {
			return err
		}
	}
	change, changed, report := o.table.Observe(seen)
	if changed && differs == sessions.DiffersPort && o.bind == sessions.BindPort {
		return o.disconnect(ctx, s, change, report)
	}
	if !report {
		return nil
	}
	return o.ledger.Commit(ctx, func(c *ledger.Tx) error {
		d, err := c.Device(s.Device)
		if err != nil {
			return err
		}
		return o.report(c, d, s, seen)
	})
}

// disconnect pauses a device that turned up on another port.
func (o *Observer) disconnect(ctx context.Context, s sessions.Session, change running.AddressChange, report bool) error {
	d, err := o.start.Pause(ctx, s.Device, sessions.ReasonPort, change.String())
	if err != nil || !report {
		return err
	}
	return o.ledger.Commit(ctx, func(c *ledger.Tx) error { return publishConflict(c, d, s, change) })
}

// Register observes what a caller registers of a device. The running session remembers
// the device as it was before.
func (o *Observer) Register(c *ledger.Tx, d sessions.Device, differs, value string) error {
	s, connected, err := ledger.RunningSession(c, d.ID)
	if err != nil || !connected {
		return err // a device that is not connected may simply have a new lease
	}
	return o.report(c, d, s, running.Observation{
		Session: s.ID, Device: d, Differs: differs, Value: value, Evidence: dataplane.NeighReachable, At: c.Now.Boot,
	})
}

// report publishes an observation if it is still to be reported: a transaction before may
// have done so. It is remembered when this one committed.
func (o *Observer) report(c *ledger.Tx, d sessions.Device, s sessions.Session, seen running.Observation) error {
	change, _, report := o.table.Observe(seen)
	if !report {
		return nil
	}
	c.AfterCommit(func() { o.table.Record(seen) })
	return publishConflict(c, d, s, change)
}

func publishConflict(c *ledger.Tx, d sessions.Device, s sessions.Session, change running.AddressChange) error {
	e := c.NewEvent(sessions.ClientConflict, d, s)
	e.Reason, e.Differs, e.Before, e.After = change.Reason, change.Differs, change.Before, change.After
	e.Message = d.MAC.String() + " is used with " + change.String()
	return c.Publish(e)
}
