// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// settlement is one transaction of Settle.
type settlement struct {
	sr      *Settler
	devices []sessions.DeviceID
	read    running.Readings
	closed  sessions.SessionID
	next    map[sessions.DeviceID]successor // of the devices whose locks are held

	ended []start.Ended // filled by run
}

// successor is what a device starts when its session ends.
type successor struct {
	session *sessions.Session // nil: nothing
	reading *dataplane.Reading
	asking  bool // providers have to be asked
}

// successors finds what comes after the sessions that are ending. Where there are
// providers, they come first and are asked after the transaction, for they may be slow.
func (sr *Settler) successors(ctx context.Context, held enforce.Locked, ending []sessions.DeviceID) (map[sessions.DeviceID]successor, error) {
	next := make(map[sessions.DeviceID]successor, len(ending))
	for _, id := range ending {
		if sr.providers.Any() {
			next[id] = successor{asking: true}
			continue
		}
		s, err := sr.successor(ctx, held, id)
		if err != nil {
			return nil, err
		}
		next[id] = s
	}
	return next, nil
}

func (sr *Settler) successor(ctx context.Context, held enforce.Locked, id sessions.DeviceID) (successor, error) {
	var list []sessions.Session
	err := sr.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		var err error
		list, err = tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Available, sessions.Paused}})
		return err
	})
	if err != nil {
		return successor{}, err
	}
	for _, s := range sessions.Ranked(sessions.LocalOnly(list), sr.clock.Read()) {
		s, r, err := sr.enforce.Refresh(ctx, held, s)
		if err != nil {
			return successor{}, err
		}
		if !sessions.AsStarted(s, r, sr.clock.Read()).Exhausted() {
			return successor{session: &s, reading: r}, nil
		}
	}
	return successor{}, nil
}

func (t *settlement) run(c *ledger.Tx) error {
	t.ended = nil
	running, err := c.RunningOf(t.devices)
	if err != nil {
		return err
	}
	for _, s := range running {
		if err := t.settle(c, s); err != nil {
			return err
		}
	}
	return nil
}

// settle debits one running session and ends it when it is over.
func (t *settlement) settle(c *ledger.Tx, s sessions.Session) error {
	r := t.read.Of(s.ID)
	w := t.sr.activity(s, r, t.closed, c.Now)
	before := s
	t.sr.debit(&s, r, c.Now)
	next, reason, over := sessions.NextState(s, w, c.Now)
	if _, locked := t.next[s.Device]; over && locked {
		return t.end(c, &s, next, reason)
	}
	if err := c.PublishLow(&s); err != nil {
		return err
	}
	if s == before {
		return nil
	}
	return c.Save(&s)
}

// debit is settled with a word in the log for a count that went backwards.
func (sr *Settler) debit(s *sessions.Session, r *dataplane.Reading, now sessions.Instant) {
	sessions.BackdateStart(s, now)
	if r != nil && !sessions.DebitBytes(s, *r) {
		sr.log.Warn("ignored a count that went backwards", "session", s.ID,
			"debited", s.Meter.Spent, "read", r.Counters.Spent())
	}
	sessions.DebitTime(s, now.Boot, now)
}

// end stops a session and starts the next one in the same transaction.
func (t *settlement) end(c *ledger.Tx, s *sessions.Session, state sessions.State, reason string) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	if err := c.Stop(d, s, state, reason); err != nil {
		return err
	}
	e := start.Ended{Device: d, Last: *s, Reason: reason}
	next := t.next[d.ID]
	e.Asking = next.asking && state != sessions.Paused
	if next.session != nil && state != sessions.Paused { // a silent device is not started again
		if e.Next, err = t.startNext(c, d, next); err != nil {
			return err
		}
	}
	t.ended = append(t.ended, e)
	if e.Asking || e.Next != nil {
		return nil
	}
	return c.Disconnected(d, *s, reason, "")
}

// startNext starts the successor if it can still be started.
func (t *settlement) startNext(c *ledger.Tx, d sessions.Device, next successor) (*sessions.Session, error) {
	s, err := c.Session(next.session.ID)
	if err != nil {
		return nil, err
	}
	if next.reading != nil {
		sessions.DebitBytes(&s, *next.reading)
	}
	if !sessions.Usable(s, c.Now) {
		return nil, nil
	}
	if err := c.Start(d, &s, c.Now); err != nil {
		return nil, err
	}
	return &s, nil
}

// follow brings the kernel in line with what was stored.
func (sr *Settler) follow(ctx context.Context, held enforce.Locked, t *settlement) {
	ctx = context.WithoutCancel(ctx)
	for _, e := range t.ended {
		err := sr.enforce.Enforce(ctx, held, e.Device.ID)
		if err != nil && e.Next != nil {
			sr.abandon(ctx, held, e, err)
			continue
		}
		if err != nil {
			sr.enforce.RepairLater(e.Device.ID, err)
		}
		if e.Asking {
			sr.start.Pending.Add(e)
			sr.start.StartNextLater(e)
		}
	}
	if t.closed != 0 && len(t.ended) == 0 {
		sr.reopen(ctx, held, t)
	}
}

// reopen grants the rule again of a device whose account the kernel closed, when
// there turned out to be balance: it was topped up meanwhile.
func (sr *Settler) reopen(ctx context.Context, held enforce.Locked, t *settlement) {
	if err := sr.enforce.Enforce(ctx, held, t.devices[0]); err != nil {
		sr.enforce.RepairLater(t.devices[0], err)
	}
}

// abandon pauses a session that was started in place of another and that the
// kernel did not take.
func (sr *Settler) abandon(ctx context.Context, _ enforce.Locked, e start.Ended, cause error) {
	sr.log.Error("the next session could not be granted", "device", e.Device.ID, "session", e.Next.ID, "error", cause)
	if err := sr.enforce.Revoke(e.Device.MAC); err != nil {
		sr.enforce.RepairLater(e.Device.ID, err)
	}
	err := sr.ledger.Commit(ctx, start.Stopping(e.Device, e.Next.ID, sr.enforce.LastReading(e.Next.ID), sessions.ReasonFailed, cause.Error()))
	if err != nil {
		sr.enforce.RepairLater(e.Device.ID, err)
	}
}
