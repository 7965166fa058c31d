// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Reconcile joins what was bought with what is enforced: it takes away rules that no
// running session has, and grants those that are missing; denials first. At boot and
// after a crash it also settles what passed since the last checkpoint, and ends what is
// over; later, as a periodic repair, it leaves that to the checkpoints. It may be repeated
// at any time.
func (m *Manager) Reconcile(ctx context.Context) error {
	first := !m.recalled.Load()
	if err := m.recall(ctx); err != nil {
		return err
	}
	doubtful, err := m.doubtful(ctx, first)
	if err != nil {
		return err
	}
	if err := m.recover(ctx, doubtful); err != nil {
		return err
	}
	if first {
		if err := m.settleOver(ctx); err != nil {
			return err
		}
	}
	err = errors.Join(
		m.denyStale(ctx, m.stale()),
		m.grantStatic(),
		m.grantMissing(ctx, doubtful),
		m.expireAll(ctx),
	)
	if first {
		err = errors.Join(err, m.closeGaps(ctx))
	}
	return errors.Join(err, m.tellRest(ctx)) // last: what providers answer may change what runs
}

// doubtful are the devices with a running session that the kernel may not enforce as it
// should: at first all that the store has.
func (m *Manager) doubtful(ctx context.Context, first bool) ([]sessions.DeviceID, error) {
	if first {
		return m.storedRunning(ctx)
	}
	return m.apart()
}

// storedRunning returns the devices that run something, as the store has it.
func (m *Manager) storedRunning(ctx context.Context) ([]sessions.DeviceID, error) {
	var ids []sessions.DeviceID
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		ids, err = tx.RunningDevices()
		return err
	})
	return ids, err
}

// recover remembers what runs, and prepares the rows of running sessions that the
// kernel does not enforce as they say: after a reboot, after a detach, or by a change
// of configuration.
func (m *Manager) recover(ctx context.Context, devices []sessions.DeviceID) error {
	marks := sync.OnceValue(m.lastMarks)
	for some := range slices.Chunk(devices, atATime) {
		if err := m.recoverSome(ctx, some, marks); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) recoverSome(ctx context.Context, devices []sessions.DeviceID, marks func() sessions.CheckpointIndex) error {
	defer m.locks.lock(devices...)()
	return m.commit(ctx, func(c *change) error {
		running, err := c.RunningOf(devices)
		if err != nil {
			return err
		}
		// Not before: a row that was settled since would seem to know more than the kernel
		// counted, and what it has been charged would be charged again.
		read, err := m.countsOf(running)
		if err != nil {
			return err
		}
		for _, s := range running {
			if err := c.recover(s, read.of(s.ID), marks); err != nil {
				return err
			}
		}
		return nil
	})
}

// lastMarks are the marks of the last checkpoint. An agent that cannot read them
// starts all the same: what they say is the customers'.
func (m *Manager) lastMarks() sessions.CheckpointIndex {
	marks, err := m.store.Checkpoint()
	if err != nil {
		m.log.Error("what was used up to the last checkpoint is lost, where the kernel lost it as well", "error", err)
	}
	return marks.Index()
}

func (c *change) recover(s sessions.Session, r *dataplane.Reading, marks func() sessions.CheckpointIndex) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	reason := c.m.mayNotRun(d, s, c.now)
	rule := c.m.kernel.Rule(d.MAC)
	if reason == "" && sessions.Joined(s, rule, c.now) && s.Meter.Counted().Knows(r) {
		c.stored, c.known = append(c.stored, s), append(c.known, d) // remembered as running
		return nil
	}
	marks().Debit(&s)
	c.rejoin(&s, r, rule)
	if reason != "" {
		if err := c.halt(d, &s, sessions.Paused, reason); err != nil {
			return err
		}
		return c.disconnected(d, s, reason, "")
	}
	c.known = append(c.known, d)
	return c.save(&s)
}

// rejoin takes the baseline to what the kernel has. Where it does not hold the
// session's rule, the device could not use its time, at least since its last
// packet: that time is not charged. Nor is the time past the rule's deadline, when
// a later one was stored that the kernel was not told of.
func (c *change) rejoin(s *sessions.Session, r *dataplane.Reading, rule dataplane.Rule) {
	if sessions.LimitMet(*s, r) { // for the settling that follows to see
		defer func(drops uint64) { s.Meter.Drops = drops }(s.Meter.Since(r.Epoch).Drops)
	}
	if r == nil {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = 0, 0, 0
	} else if !sessions.DebitBytes(s, *r) {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = r.Epoch, r.Counters.Spent(), r.Counters.LimitDrops
	}
	if s.Meter.Boot == c.now.BootID && sessions.Enforces(rule, *s) {
		sessions.DebitTime(s, sessions.PassesUntil(rule, c.now), c.now)
	} else if r != nil {
		sessions.DebitTime(s, min(r.Counters.LastSeen, c.now.Boot), c.now)
	}
	s.Meter.Boot, s.Meter.At = c.now.BootID, c.now.Boot
}

// mayNotRun says why a session that the store has as running is not to go on.
func (m *Manager) mayNotRun(d sessions.Device, s sessions.Session, now sessions.Instant) (reason string) {
	rule, static := m.static[d.MAC]
	switch {
	case static && rule.Verdict == dataplane.Block:
		return sessions.ReasonBlocked
	case static:
		return sessions.ReasonTrusted
	case s.Meter.Boot != now.BootID && !m.cfg.ResumeAfterReboot:
		return sessions.ReasonReboot
	}
	return ""
}

// stale returns the MACs whose rule no running session and no configuration seems to
// have. It looks at what is remembered, without locks: doubts are looked into by who
// acts on them.
func (m *Manager) stale() (wrong []dataplane.MAC) {
	for mac, rule := range m.kernel.Rules() {
		if _, ok := m.static[mac]; ok {
			continue
		}
		if _, of, running := m.live.session(sessions.SessionID(rule.Account)); !running || of != mac {
			wrong = append(wrong, mac)
		}
	}
	return wrong
}

// denyStale takes away rules, if they are as wrong as they seemed.
func (m *Manager) denyStale(ctx context.Context, wrong []dataplane.MAC) error {
	var failed error
	for _, mac := range wrong {
		failed = errors.Join(failed, m.denyIfStale(ctx, mac))
	}
	return failed
}

func (m *Manager) denyIfStale(ctx context.Context, mac dataplane.MAC) error {
	unlock := m.locks.lock(newDevices)
	defer unlock()
	d, err := m.deviceByMAC(ctx, mac)
	if sessions.CodeOf(err) == sessions.NotFound {
		return m.revoke(mac) // and no device takes the MAC meanwhile
	}
	if err != nil {
		return err
	}
	defer m.locks.lock(d.ID)()
	d, s, err := m.lookup(ctx, d.ID)
	if err != nil || s != nil && d.MAC == mac {
		return err
	}
	return m.revoke(mac)
}

// grantStatic enforces the configuration's rules, those that deny first.
func (m *Manager) grantStatic() error {
	macs := slices.SortedFunc(maps.Keys(m.static), func(a, b dataplane.MAC) int {
		return int(m.static[b].Verdict) - int(m.static[a].Verdict)
	})
	var failed error
	for _, mac := range macs {
		if m.kernel.Rule(mac) != m.static[mac] {
			failed = errors.Join(failed, m.grant(mac, m.static[mac]))
		}
	}
	return failed
}

// grantMissing grants what should be enforced and is not, or not as it should: in the
// order of the devices, so that it is always the same ones who get in where there is
// not room for all.
func (m *Manager) grantMissing(ctx context.Context, devices []sessions.DeviceID) error {
	var failed error
	for _, id := range devices {
		if _, _, _, missing := m.missing(id); missing {
			failed = errors.Join(failed, m.grantIfMissing(ctx, id))
		}
	}
	return failed
}

// missing reports that a device runs a session whose rule is not as it should be.
func (m *Manager) missing(id sessions.DeviceID) (s sessions.Session, mac dataplane.MAC, rule dataplane.Rule, missing bool) {
	s, mac, running := m.live.running(id)
	if !running {
		return s, mac, rule, false
	}
	rule = m.rule(s, m.live.bound(s.ID), m.now())
	return s, mac, rule, !sessions.SameRule(m.kernel.Rule(mac), rule)
}

func (m *Manager) grantIfMissing(ctx context.Context, id sessions.DeviceID) error {
	defer m.locks.lock(id)()
	s, mac, rule, missing := m.missing(id)
	if !missing {
		return nil
	}
	cause := m.grant(mac, rule)
	if sessions.CodeOf(cause) != sessions.Full {
		return cause
	}
	m.log.Error("there is no room for a running session; it is paused", "device", id, "session", s.ID, "error", cause)
	d, err := m.Device(ctx, id)
	if err != nil {
		return err
	}
	return m.commit(ctx, m.halting(d, s.ID, nil, sessions.ReasonFailed, cause.Error()))
}

// expireBatch bounds the sessions that expire in one transaction.
const expireBatch = 256

// expireAll records what expired while it did not run.
func (m *Manager) expireAll(ctx context.Context) error {
	now := m.now()
	if !now.WallTrusted {
		return nil
	}
	for last := sessions.SessionID(0); ; {
		list, err := sessions.View(ctx, m.store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.PastExpiry(now.Wall, expireBatch) })
		if err != nil || len(list) == 0 || list[0].ID == last { // the clock was set back meanwhile: next time
			return err
		}
		if err := m.expire(ctx, list); err != nil {
			return err
		}
		last = list[0].ID
	}
}

// expire records which of the sessions, that do not run, expired.
func (m *Manager) expire(ctx context.Context, list []sessions.Session) error {
	now := m.now()
	list = slices.DeleteFunc(slices.Clone(list), func(s sessions.Session) bool { return !now.Expired(s) })
	if len(list) == 0 {
		return nil
	}
	return m.commit(ctx, func(c *change) error {
		for _, s := range list {
			if err := c.expire(s.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) expire(id sessions.SessionID) error {
	s, err := c.Session(id)
	if err != nil || s.State != sessions.Available && s.State != sessions.Paused {
		return err
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	return c.rest(d, &s)
}
