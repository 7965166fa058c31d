// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// settlement is one transaction of Settle.
type settlement struct {
	devices []sessions.DeviceID
	read    counts
	closed  sessions.SessionID
	next    map[sessions.DeviceID]successor // of the devices whose locks are held

	ended []ended // filled by run
}

// ended is a device whose session ended.
type ended struct {
	device sessions.Device
	last   sessions.Session
	reason string
	next   *sessions.Session // started in its place
	asking bool              // providers are asked first what comes next
}

// successor is what a device starts when its session ends.
type successor struct {
	session *sessions.Session // nil: nothing
	reading *dataplane.Reading
	asking  bool // providers have to be asked
}

// successors finds what comes after the sessions that are ending. The caller holds
// the devices' locks. Where there are providers, they come first and are asked
// after the transaction, for they may be slow.
func (m *Manager) successors(ctx context.Context, ending []sessions.DeviceID) (map[sessions.DeviceID]successor, error) {
	next := make(map[sessions.DeviceID]successor, len(ending))
	for _, id := range ending {
		if m.providers.any() {
			next[id] = successor{asking: true}
			continue
		}
		s, err := m.successor(ctx, id)
		if err != nil {
			return nil, err
		}
		next[id] = s
	}
	return next, nil
}

func (m *Manager) successor(ctx context.Context, id sessions.DeviceID) (successor, error) {
	var list []sessions.Session
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		list, err = tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Available, sessions.Paused}})
		return err
	})
	if err != nil {
		return successor{}, err
	}
	for _, s := range sessions.Ranked(sessions.LocalOnly(list), m.now()) {
		s, r, err := m.refresh(ctx, s)
		if err != nil {
			return successor{}, err
		}
		if !sessions.AsStarted(s, r, m.now()).Exhausted() {
			return successor{session: &s, reading: r}, nil
		}
	}
	return successor{}, nil
}

func (t *settlement) run(c *change) error {
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
func (t *settlement) settle(c *change, s sessions.Session) error {
	r := t.read.of(s.ID)
	w := c.m.watch(s, r, t.closed, c.now)
	before := s
	c.m.debit(&s, r, c.now)
	next, reason, over := sessions.NextState(s, w, c.now)
	if _, locked := t.next[s.Device]; over && locked {
		return t.end(c, &s, next, reason)
	}
	if err := c.warn(&s); err != nil {
		return err
	}
	if s == before {
		return nil
	}
	return c.save(&s)
}

// debit is settled with a word in the log for a count that went backwards.
func (m *Manager) debit(s *sessions.Session, r *dataplane.Reading, now sessions.Instant) {
	sessions.BackdateStart(s, now)
	if r != nil && !sessions.DebitBytes(s, *r) {
		m.log.Warn("ignored a count that went backwards", "session", s.ID,
			"debited", s.Meter.Spent, "read", r.Counters.Spent())
	}
	sessions.DebitTime(s, now.Boot, now)
}

// end stops a session and starts the next one in the same transaction.
func (t *settlement) end(c *change, s *sessions.Session, state sessions.State, reason string) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	if err := c.halt(d, s, state, reason); err != nil {
		return err
	}
	e := ended{device: d, last: *s, reason: reason}
	next := t.next[d.ID]
	e.asking = next.asking && state != sessions.Paused
	if next.session != nil && state != sessions.Paused { // a silent device is not started again
		if e.next, err = t.startNext(c, d, next); err != nil {
			return err
		}
	}
	t.ended = append(t.ended, e)
	if e.asking || e.next != nil {
		return nil
	}
	return c.disconnected(d, *s, reason, "")
}

// startNext starts the successor if it can still be started.
func (t *settlement) startNext(c *change, d sessions.Device, next successor) (*sessions.Session, error) {
	s, err := c.Session(next.session.ID)
	if err != nil {
		return nil, err
	}
	if next.reading != nil {
		sessions.DebitBytes(&s, *next.reading)
	}
	if !sessions.Usable(s, c.now) {
		return nil, nil
	}
	if err := c.start(d, &s, c.now); err != nil {
		return nil, err
	}
	return &s, nil
}

// follow brings the kernel in line with what was stored. The caller holds the
// locks of the devices in question.
func (m *Manager) follow(ctx context.Context, t *settlement) {
	ctx = context.WithoutCancel(ctx)
	for _, e := range t.ended {
		err := m.enforce(ctx, e.device.ID)
		if err != nil && e.next != nil {
			m.abandon(ctx, e, err)
			continue
		}
		if err != nil {
			m.repairLater(e.device.ID, err)
		}
		if e.asking {
			m.gaps.enter(e)
			m.continueLater(e)
		}
	}
	if t.closed != 0 && len(t.ended) == 0 {
		m.reopen(ctx, t)
	}
}

// reopen grants the rule again of a device whose account the kernel closed, when
// there turned out to be balance: it was topped up meanwhile.
func (m *Manager) reopen(ctx context.Context, t *settlement) {
	if err := m.enforce(ctx, t.devices[0]); err != nil {
		m.repairLater(t.devices[0], err)
	}
}

// abandon pauses a session that was started in place of another and that the
// kernel did not take.
func (m *Manager) abandon(ctx context.Context, e ended, cause error) {
	m.log.Error("the next session could not be granted", "device", e.device.ID, "session", e.next.ID, "error", cause)
	if err := m.revoke(e.device.MAC); err != nil {
		m.repairLater(e.device.ID, err)
	}
	err := m.commit(ctx, m.halting(e.device, e.next.ID, m.lastReading(e.next.ID), sessions.ReasonFailed, cause.Error()))
	if err != nil {
		m.repairLater(e.device.ID, err)
	}
}
