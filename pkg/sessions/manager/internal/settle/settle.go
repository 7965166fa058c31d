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

// batch is what one transaction settles.
type batch struct {
	devices []sessions.DeviceID
	ending  []sessions.DeviceID // those whose session seems over: their locks are needed
	read    running.Readings
	before  map[sessions.SessionID]running.Snapshot // from before the readings, where accounts may be removed meanwhile
	closed  sessions.SessionID                      // its byte limit was reached, as the kernel reports; 0: none
}

func (b *batch) add(id sessions.DeviceID, over bool) {
	b.devices = append(b.devices, id)
	if over {
		b.ending = append(b.ending, id)
	}
}

// settleBatch settles what devices run in one transaction. A session that is over and was
// not judged so before is debited, and ended by the next call.
func (sr *Settler) settleBatch(ctx context.Context, b batch) error {
	if len(b.devices) == 0 {
		return nil
	}
	held := sr.enforce.Lock(b.ending...)
	defer held.Unlock()
	next, err := sr.successors(ctx, held, b.ending, sr.clock.Read())
	if err != nil {
		return err
	}
	return sr.settle(ctx, held, &settlement{sr: sr, batch: b, next: next})
}

// settle runs the transaction, and brings the kernel in line.
func (sr *Settler) settle(ctx context.Context, held enforce.Locked, t *settlement) error {
	if err := sr.ledger.Commit(ctx, t.run); err != nil {
		return err
	}
	sr.follow(context.WithoutCancel(ctx), held, t)
	return nil
}

// settlement is one transaction that settles.
type settlement struct {
	batch
	sr   *Settler
	next map[sessions.DeviceID]successor // of the devices whose locks are held
	asOf dataplane.Boottime              // 0: the time of the transaction

	// Filled by run.
	at    sessions.Instant // not before the transaction began: the wait for it is not charged
	ended []start.Ended
}

// successor is what a device starts when its session ends.
type successor struct {
	session *sessions.Session // nil: nothing
	reading *dataplane.Reading
	query   bool // providers are queried first, after the transaction
}

// successors finds what comes after the sessions that are ending, in one read of the
// store. Where there are providers, they come first and are queried after the
// transaction, for they may be slow.
func (sr *Settler) successors(ctx context.Context, held enforce.Locked, ending []sessions.DeviceID, now sessions.Instant) (map[sessions.DeviceID]successor, error) {
	next := make(map[sessions.DeviceID]successor, len(ending))
	if len(ending) == 0 {
		return next, nil
	}
	if sr.providers.Any() {
		for _, id := range ending {
			next[id] = successor{query: true}
		}
		return next, nil
	}
	ranked := make([][]sessions.Session, len(ending))
	err := sr.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		for i, id := range ending {
			list, err := tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Available, sessions.Paused}})
			if err != nil {
				return err
			}
			ranked[i] = sessions.Ranked(sessions.LocalOnly(list), now)
		}
		return nil
	})
	for i, id := range ending {
		if err == nil {
			next[id], err = sr.successor(ctx, held, ranked[i], now)
		}
	}
	return next, err
}

// successor returns the first session that has something left.
func (sr *Settler) successor(ctx context.Context, held enforce.Locked, ranked []sessions.Session, now sessions.Instant) (successor, error) {
	for _, s := range ranked {
		s, r, err := sr.enforce.Refresh(ctx, held, s)
		if err != nil {
			return successor{}, err
		}
		if !sessions.AsStarted(s, r, now).Exhausted() {
			return successor{session: &s, reading: r}, nil
		}
	}
	return successor{}, nil
}

func (t *settlement) run(c *ledger.Tx) error {
	if t.asOf != 0 {
		c.Now = c.Now.At(t.asOf)
	}
	t.at, t.ended = c.Now, nil
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
	r := t.reading(s)
	a := t.activity(s, r, c.Now)
	before := s
	t.debit(&s, r, c.Now)
	next, reason, over := sessions.NextState(s, a, c.Now)
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

// reading returns the reading of a session, nil for none. One of an account that was removed
// since, and made anew, would be debited again.
func (t *settlement) reading(s sessions.Session) *dataplane.Reading {
	if before, ok := t.before[s.ID]; ok && !before.StillRuns(t.sr.table) {
		return nil
	}
	return t.read.Of(s)
}

// activity gathers what is known of a running session; s is as it was before r.
func (t *settlement) activity(s sessions.Session, r *dataplane.Reading, now sessions.Instant) sessions.Activity {
	a := sessions.Activity{Closed: s.ID == t.closed || sessions.LimitMet(s, r), IdleTimeout: t.sr.cfg.IdleTimeout}
	if r == nil {
		return a // and silence cannot be known
	}
	a.LastSeen = t.sr.table.Seen(s.Device, r.Counters.LastSeen, now)
	return a
}

// debit is AsOf with a log line for a count that went backwards.
func (t *settlement) debit(s *sessions.Session, r *dataplane.Reading, now sessions.Instant) {
	sessions.BackdateStart(s, now)
	if r != nil && !sessions.DebitBytes(s, *r) {
		t.sr.log.Warn("count that went backwards ignored", "session", s.ID,
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
	e.Query = next.query && state != sessions.Paused
	if next.session != nil && state != sessions.Paused { // a silent device is not started again
		if e.Next, err = t.startNext(c, d, next); err != nil {
			return err
		}
	}
	t.ended = append(t.ended, e)
	if e.Query || e.Next != nil {
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

// follow brings the kernel in line with what was stored: under the locks nothing else has
// changed what the devices run.
func (sr *Settler) follow(ctx context.Context, held enforce.Locked, t *settlement) {
	for _, e := range t.ended {
		err := sr.applyEnd(e, t.at)
		if err != nil && e.Next != nil {
			sr.abandon(ctx, held, e, err)
			continue
		}
		if err != nil {
			sr.enforce.RepairLater(e.Device.ID, err)
		}
		if e.Query {
			sr.start.Pending.Add(e)
			sr.start.StartNextLater(e)
		}
	}
	if t.closed != 0 && len(t.ended) == 0 {
		sr.reopen(ctx, held, t)
	}
}

// applyEnd grants the session that was started in place of an ended one, or revokes.
func (sr *Settler) applyEnd(e start.Ended, at sessions.Instant) error {
	if e.Next == nil {
		return sr.enforce.Revoke(e.Device.MAC)
	}
	return sr.enforce.Grant(e.Device.MAC, sr.enforce.RuleOf(*e.Next, e.Device.BoundIPv4(), at))
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
	err := sr.ledger.Commit(ctx, start.Stopping(e.Device, e.Next.ID, sr.enforce.LastReading(e.Next.Account()), sessions.ReasonFailed, cause.Error()))
	if err != nil {
		sr.enforce.RepairLater(e.Device.ID, err)
	}
}
