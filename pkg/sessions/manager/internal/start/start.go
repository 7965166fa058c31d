// SPDX-License-Identifier: Apache-2.0

// Package start chooses, starts and stops the sessions of devices.
package start

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/providers"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// errChanged says that a session changed between being chosen and being started.
var errChanged = errors.New("the session changed meanwhile")

// Starter starts and stops sessions. Safe for concurrent use.
type Starter struct {
	Pending PendingNext

	clock     *wallclock.Clock
	table     *running.Table
	ledger    *ledger.Ledger
	enforce   *enforce.Enforcer
	providers *providers.Registry
	log       *slog.Logger
}

// New returns a Starter.
func New(clock *wallclock.Clock, table *running.Table, ledger *ledger.Ledger,
	enforce *enforce.Enforcer, providers *providers.Registry, log *slog.Logger) *Starter {
	return &Starter{clock: clock, table: table, ledger: ledger, enforce: enforce, providers: providers, log: log}
}

// Result is a device and what it runs after a Start.
type Result struct {
	Device  sessions.Device
	Session *sessions.Session // nil: nothing, for the configuration lets the device through
	At      sessions.Instant  // when it was decided
}

// Then is called in the transaction that starts a session.
type Then func(*ledger.Tx, sessions.Device, sessions.Session) error

// Start starts a session of a device that has none running, and calls then in the
// same transaction. It succeeds and changes nothing when one runs, or when the
// configuration lets the device through.
func (st *Starter) Start(ctx context.Context, id sessions.DeviceID, offers []providers.Offer, then Then) (Result, error) {
	held := st.enforce.Lock(id)
	defer held.Unlock()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	r, err := st.startOne(ctx, held, id, offers, then)
	if err == nil {
		st.Pending.Cancel(id)
	}
	return r, err
}

// startOne is Start under the device's lock. It reads the clocks once for each session that
// it chooses, and again where that was stored first.
func (st *Starter) startOne(ctx context.Context, held enforce.Locked, id sessions.DeviceID, offers []providers.Offer, then Then) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	for {
		now := st.clock.Read()
		d, s, err := st.pick(ctx, held, id, offers, now)
		if err != nil || s == nil || s.State == sessions.Running {
			return Result{d, s, now}, err
		}
		if s.Provider != sessions.LocalProvider {
			now = st.clock.Read() // the wait for the disk, by adopt, is not charged
		}
		started, err := st.grantAndStore(ctx, held, d, *s, now, then)
		if err == nil {
			return Result{d, &started, now}, nil
		}
		if !errors.Is(err, errChanged) {
			return Result{}, err
		}
		offers = nil // made before the change: adopted again, it would undo it
	}
}

// pick returns the session to start, or the one that runs already; nil for a device
// that needs none.
func (st *Starter) pick(ctx context.Context, held enforce.Locked, id sessions.DeviceID, offers []providers.Offer, now sessions.Instant) (sessions.Device, *sessions.Session, error) {
	d, list, err := st.ledger.DeviceSessions(ctx, id, sessions.Running, sessions.Available, sessions.Paused)
	if err != nil {
		return d, nil, err
	}
	if rule, ok := st.enforce.Static[d.MAC]; ok {
		if rule.Verdict == dataplane.Block {
			return d, nil, Blocked(d)
		}
		return d, nil, nil
	}
	if i := slices.IndexFunc(list, func(s sessions.Session) bool { return s.State == sessions.Running }); i >= 0 {
		return d, &list[i], nil
	}
	if err := st.Expire(ctx, list, now); err != nil {
		return d, nil, err
	}
	s, ok, err := st.choose(ctx, held, d, list, offers, now)
	if err != nil {
		return d, nil, err
	}
	if !ok {
		return d, nil, NothingToConsume(d)
	}
	return d, &s, nil
}

// NothingToConsume is the refusal of a device that has nothing to start.
func NothingToConsume(d sessions.Device) error {
	return sessions.Errorf(sessions.NoSession, "device %d (%s) has nothing to consume: buy it a session first", d.ID, d.MAC)
}

// Blocked is the refusal of a device that the configuration blocks.
func Blocked(d sessions.Device) error {
	return sessions.Errorf(sessions.Forbidden, "device %d (%s) is blocked by the configuration", d.ID, d.MAC)
}

// choose chooses among the offers of providers, then among what was sold here.
func (st *Starter) choose(ctx context.Context, held enforce.Locked, d sessions.Device, list []sessions.Session, offers []providers.Offer, now sessions.Instant) (sessions.Session, bool, error) {
	for _, o := range offers {
		s, err := st.adopt(ctx, held, d, o)
		if err != nil {
			return s, false, err
		}
		if sessions.Usable(s, now) {
			return s, true, nil
		}
	}
	s, ok := sessions.Choose(sessions.LocalOnly(list), now)
	return s, ok, nil
}

// grantAndStore grants a session and stores that it runs. The kernel comes first: it alone
// knows whether there is room, and then nothing is left behind. Should the agent
// die in between, Reconcile revokes the grant, and what passed is debited.
func (st *Starter) grantAndStore(ctx context.Context, held enforce.Locked, d sessions.Device, s sessions.Session, at sessions.Instant, then Then) (sessions.Session, error) {
	s, r, err := st.enforce.Refresh(ctx, held, s)
	if err != nil {
		return s, err
	}
	planned := sessions.AsStarted(s, r, at)
	if planned.Exhausted() || sessions.LimitMet(s, r) && planned.BelowOnePacket() { // by packets that were counted late
		return s, st.settleSpent(ctx, d, s.ID, r)
	}
	if err := st.enforce.Grant(d.MAC, st.enforce.RuleOf(planned, d.BoundIPv4(), at)); err != nil {
		return s, err
	}
	err = st.ledger.CommitAt(ctx, at, func(c *ledger.Tx) error {
		var err error
		if s, err = c.Session(s.ID); err != nil {
			return err
		}
		if r != nil {
			sessions.DebitBytes(&s, *r)
		}
		if !sessions.Usable(s, at) {
			return errChanged
		}
		if err := c.Start(d, &s, at); err != nil {
			return err
		}
		return then(c, d, s)
	})
	if err != nil {
		return s, st.revokeFailed(d, err)
	}
	return s, nil
}

// revokeFailed revokes a grant whose transaction failed.
func (st *Starter) revokeFailed(d sessions.Device, cause error) error {
	if err := st.enforce.Revoke(d.MAC); err != nil {
		st.enforce.RepairLater(d.ID, err)
	}
	return cause
}

// settleSpent debits a late count that used up a paused session, and has another
// one picked.
func (st *Starter) settleSpent(ctx context.Context, d sessions.Device, id sessions.SessionID, r *dataplane.Reading) error {
	err := st.ledger.Commit(ctx, func(c *ledger.Tx) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		sessions.DebitBytes(&s, *r)
		return c.Stop(d, &s, sessions.Consumed, "")
	})
	if err != nil {
		return err
	}
	return errChanged
}

// unfinishedOf returns the rows of a provider's sessions of a device that are not
// over; there is one at most.
func unfinishedOf(tx sessions.Tx, provider string, id sessions.DeviceID) ([]sessions.Session, error) {
	all, err := tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Available, sessions.Running, sessions.Paused}})
	var list []sessions.Session
	for _, s := range all {
		if s.Provider == provider {
			list = append(list, s)
		}
	}
	return list, err
}

// Preview is the session that an offer would become. Nothing is stored while
// another one runs, for it may be the offered one.
func (st *Starter) Preview(ctx context.Context, d sessions.Device, o providers.Offer) (sessions.Session, error) {
	held := st.enforce.Lock(d.ID)
	defer held.Unlock()
	_, running, err := st.ledger.Lookup(ctx, d.ID)
	if err != nil {
		return sessions.Session{}, err
	}
	if running == nil {
		return st.adopt(ctx, held, d, o)
	}
	s := sessions.Session{Device: d.ID, Provider: o.Provider, Created: o.Session.Data.Created}
	s.SetPurchase(o.Session.Data)
	s.SetUsage(o.Session.Data)
	s.State = sessions.RestState(s, st.clock.Read())
	return s, nil
}

// adopt stores an offer: in the unfinished row of that provider and device if there
// is one, else in a new one. Nothing runs on the device.
func (st *Starter) adopt(ctx context.Context, _ enforce.Locked, d sessions.Device, o providers.Offer) (sessions.Session, error) {
	var s sessions.Session
	err := st.ledger.Update(ctx, func(c *ledger.Tx) error {
		rows, err := unfinishedOf(c, o.Provider, d.ID)
		if err != nil {
			return err
		}
		data := o.Session.Data
		if len(rows) == 0 {
			s = sessions.Session{Device: d.ID, Provider: o.Provider, State: sessions.Available, Created: data.Created}
			s.SetUsage(data)
		} else {
			s = rows[0]
			s.AdoptUsage(data)
		}
		s.SetPurchase(data)
		s.Token = o.Session.Token
		if s.State == sessions.Available && !s.Started.IsZero() {
			s.State = sessions.Paused
		}
		if err := c.Put(&s); err != nil || len(rows) > 0 {
			return err
		}
		return c.Publish(c.NewEvent(sessions.SessionCreated, d, s))
	})
	return s, err
}

// Expire records which of the sessions, that do not run, expired.
func (st *Starter) Expire(ctx context.Context, list []sessions.Session, now sessions.Instant) error {
	list = slices.DeleteFunc(slices.Clone(list), func(s sessions.Session) bool { return !now.Expired(s) })
	if len(list) == 0 {
		return nil
	}
	return st.ledger.CommitAt(ctx, now, func(c *ledger.Tx) error {
		for _, s := range list {
			if err := expire(c, s.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func expire(c *ledger.Tx, id sessions.SessionID) error {
	s, err := c.Session(id)
	if err != nil || s.State != sessions.Available && s.State != sessions.Paused {
		return err
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	return c.SettleIdle(d, &s)
}
