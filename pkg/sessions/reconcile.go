// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
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
func (m *Manager) doubtful(ctx context.Context, first bool) ([]DeviceID, error) {
	if first {
		return m.storedRunning(ctx)
	}
	return m.apart()
}

// storedRunning returns the devices that run something, as the store has it.
func (m *Manager) storedRunning(ctx context.Context) ([]DeviceID, error) {
	var ids []DeviceID
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		ids, err = tx.RunningDevices()
		return err
	})
	return ids, err
}

// recover remembers what runs, and prepares the rows of running sessions that the
// kernel does not enforce as they say: after a reboot, after a detach, or by a change
// of configuration.
func (m *Manager) recover(ctx context.Context, devices []DeviceID) error {
	marks := sync.OnceValue(m.lastMarks)
	for some := range slices.Chunk(devices, atATime) {
		if err := m.recoverSome(ctx, some, marks); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) recoverSome(ctx context.Context, devices []DeviceID, marks func() foundMarks) error {
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
func (m *Manager) lastMarks() foundMarks {
	marks, err := m.store.Checkpoint()
	if err != nil {
		m.log.Error("what was used up to the last checkpoint is lost, where the kernel lost it as well", "error", err)
	}
	return marks.find()
}

func (c *change) recover(s Session, r *dataplane.Reading, marks func() foundMarks) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	reason := c.m.mayNotRun(d, s, c.now)
	rule := c.m.kernel.Rule(d.MAC)
	if reason == "" && joined(s, rule, c.now) && s.Meter.counted().knows(r) {
		c.stored, c.known = append(c.stored, s), append(c.known, d) // remembered as running
		return nil
	}
	marks().settle(&s)
	c.rejoin(&s, r, rule)
	if reason != "" {
		if err := c.halt(d, &s, Paused, reason); err != nil {
			return err
		}
		return c.disconnected(d, s, reason, "")
	}
	c.known = append(c.known, d)
	return c.save(&s)
}

// joined reports that the kernel enforces a rule of this session since it was started,
// and lets packets pass still.
func joined(s Session, rule dataplane.Rule, now moment) bool {
	return s.Meter.Boot == now.bootID && enforces(rule, s) && until(rule, now) == now.boot
}

// knows reports a reading that goes on from what was debited, as it does in health.
func (c counted) knows(r *dataplane.Reading) bool {
	return r != nil && r.Counters.Spent() >= c.in(r.Epoch).spent
}

func enforces(rule dataplane.Rule, s Session) bool {
	return rule.Verdict == dataplane.Allow && rule.Account == s.ID.Account()
}

// until is when a rule let packets pass last, now if it does still.
func until(rule dataplane.Rule, now moment) dataplane.Boottime {
	if rule.Deadline == 0 {
		return now.boot
	}
	return min(rule.Deadline, now.boot)
}

// rejoin takes the baseline to what the kernel has. Where it does not hold the
// session's rule, the device could not use its time, at least since its last
// packet: that time is not charged. Nor is the time past the rule's deadline, when
// a later one was stored that the kernel was not told of.
func (c *change) rejoin(s *Session, r *dataplane.Reading, rule dataplane.Rule) {
	if limitMet(*s, r) { // for the settling that follows to see
		defer func(drops uint64) { s.Meter.Drops = drops }(s.Meter.in(r.Epoch).drops)
	}
	if r == nil {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = 0, 0, 0
	} else if !debitBytes(s, *r) {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = r.Epoch, r.Counters.Spent(), r.Counters.LimitDrops
	}
	if s.Meter.Boot == c.now.bootID && enforces(rule, *s) {
		debitTime(s, until(rule, c.now), c.now)
	} else if r != nil {
		debitTime(s, min(r.Counters.LastSeen, c.now.boot), c.now)
	}
	s.Meter.Boot, s.Meter.At = c.now.bootID, c.now.boot
}

// mayNotRun says why a session that the store has as running is not to go on.
func (m *Manager) mayNotRun(d Device, s Session, now moment) (reason string) {
	rule, static := m.static[d.MAC]
	switch {
	case static && rule.Verdict == dataplane.Block:
		return ReasonBlocked
	case static:
		return ReasonTrusted
	case s.Meter.Boot != now.bootID && !m.cfg.ResumeAfterReboot:
		return ReasonReboot
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
		if _, of, running := m.live.session(SessionID(rule.Account)); !running || of != mac {
			wrong = append(wrong, mac)
		}
	}
	return wrong
}

// sameRule leaves out by how much a deadline moves that follows the wall clock.
func sameRule(a, b dataplane.Rule) bool {
	if a.Deadline.Sub(b.Deadline).Abs() < time.Millisecond && (a.Deadline == 0) == (b.Deadline == 0) {
		a.Deadline = b.Deadline
	}
	return a == b
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
	if CodeOf(err) == NotFound {
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
func (m *Manager) grantMissing(ctx context.Context, devices []DeviceID) error {
	var failed error
	for _, id := range devices {
		if _, _, _, missing := m.missing(id); missing {
			failed = errors.Join(failed, m.grantIfMissing(ctx, id))
		}
	}
	return failed
}

// missing reports that a device runs a session whose rule is not as it should be.
func (m *Manager) missing(id DeviceID) (s Session, mac dataplane.MAC, rule dataplane.Rule, missing bool) {
	s, mac, running := m.live.running(id)
	if !running {
		return s, mac, rule, false
	}
	rule = m.rule(s, m.live.bound(s.ID), m.now())
	return s, mac, rule, !sameRule(m.kernel.Rule(mac), rule)
}

func (m *Manager) grantIfMissing(ctx context.Context, id DeviceID) error {
	defer m.locks.lock(id)()
	s, mac, rule, missing := m.missing(id)
	if !missing {
		return nil
	}
	cause := m.grant(mac, rule)
	if CodeOf(cause) != Full {
		return cause
	}
	m.log.Error("there is no room for a running session; it is paused", "device", id, "session", s.ID, "error", cause)
	d, err := m.Device(ctx, id)
	if err != nil {
		return err
	}
	return m.commit(ctx, m.halting(d, s.ID, nil, ReasonFailed, cause.Error()))
}

// expireBatch bounds the sessions that expire in one transaction.
const expireBatch = 256

// expireAll records what expired while it did not run.
func (m *Manager) expireAll(ctx context.Context) error {
	now := m.now()
	if !now.sane {
		return nil
	}
	for last := SessionID(0); ; {
		list, err := View(ctx, m.store, func(tx Tx) ([]Session, error) { return tx.PastExpiry(now.wall, expireBatch) })
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
func (m *Manager) expire(ctx context.Context, list []Session) error {
	now := m.now()
	list = slices.DeleteFunc(slices.Clone(list), func(s Session) bool { return !now.expired(s) })
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

func (c *change) expire(id SessionID) error {
	s, err := c.Session(id)
	if err != nil || s.State != Available && s.State != Paused {
		return err
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	return c.rest(d, &s)
}
