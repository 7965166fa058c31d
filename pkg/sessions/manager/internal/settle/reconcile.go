// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// repair brings those devices in line whose rule the kernel did not take, and,
// when the wall clock was set, those whose deadline depends on it.
func (sr *Settler) repair(ctx context.Context) {
	ids := sr.enforce.Repairs()
	if sr.clockWasSet() {
		ids = append(ids, sr.table.WithExpiry()...)
		sr.table.Recompute(sr.clock.Read())
	}
	for _, id := range ids {
		if err := sr.enforce.LockAndEnforce(ctx, id); err != nil {
			sr.enforce.RepairLater(id, err)
		}
	}
}

// clockWasSet reports a step of the wall clock since the last call, or that it can
// be believed only now.
func (sr *Settler) clockWasSet() bool {
	now := sr.clock.Read()
	offset := now.Wall.Sub(time.Unix(0, int64(now.Boot)))
	step := (offset - sr.state.offset).Abs()
	changed := step > time.Second || now.WallTrusted != sr.state.sane
	sr.state.offset, sr.state.sane = offset, now.WallTrusted
	return changed
}

// Reconcile joins what was bought with what is enforced: it takes away rules that no
// running session has, and grants those that are missing; denials first. At boot and
// after a crash it also settles what passed since the last checkpoint, and ends what is
// over; later, as a periodic repair, it leaves that to the checkpoints. It may be repeated
// at any time.
func (sr *Settler) Reconcile(ctx context.Context) error {
	first := !sr.recalled.Load()
	if err := sr.restore(ctx); err != nil {
		return err
	}
	doubtful, err := sr.doubtful(ctx, first)
	if err != nil {
		return err
	}
	if err := sr.recover(ctx, doubtful); err != nil {
		return err
	}
	if first {
		if err := sr.settleOver(ctx); err != nil {
			return err
		}
	}
	err = errors.Join(
		sr.denyStale(ctx, sr.stale()),
		sr.grantStatic(),
		sr.grantMissing(ctx, doubtful),
		sr.expireAll(ctx),
	)
	if first {
		err = errors.Join(err, sr.start.CloseForgotten(ctx))
	}
	return errors.Join(err, sr.providers.Redeliver(ctx)) // last: what providers answer may change what runs
}

// doubtful are the devices with a running session that the kernel may not enforce as it
// should: at first all that the store has.
func (sr *Settler) doubtful(ctx context.Context, first bool) ([]sessions.DeviceID, error) {
	if first {
		return sr.ledger.RunningDevices(ctx)
	}
	return sr.drifted()
}

// recover remembers what runs, and prepares the rows of running sessions that the
// kernel does not enforce as they say: after a reboot, after a detach, or by a change
// of configuration.
func (sr *Settler) recover(ctx context.Context, devices []sessions.DeviceID) error {
	marks := sync.OnceValue(sr.lastCheckpoint)
	for some := range slices.Chunk(devices, ledger.BatchSize) {
		if err := sr.recoverSome(ctx, some, marks); err != nil {
			return err
		}
	}
	return nil
}

func (sr *Settler) recoverSome(ctx context.Context, devices []sessions.DeviceID, marks func() sessions.CheckpointIndex) error {
	held := sr.enforce.Lock(devices...)
	defer held.Unlock()
	return sr.ledger.Commit(ctx, func(c *ledger.Tx) error {
		running, err := c.RunningOf(devices)
		if err != nil {
			return err
		}
		// Not before: a row that was settled since would seem to know more than the kernel
		// counted, and what it has been charged would be charged again.
		read, err := sr.enforce.CountsOf(running)
		if err != nil {
			return err
		}
		for _, s := range running {
			if err := sr.recoverOne(c, s, read.Of(s.ID), marks); err != nil {
				return err
			}
		}
		return nil
	})
}

// lastCheckpoint are the marks of the last checkpoint. An agent that cannot read them
// starts all the same: what they say is the customers'.
func (sr *Settler) lastCheckpoint() sessions.CheckpointIndex {
	marks, err := sr.ledger.Store.Checkpoint()
	if err != nil {
		sr.log.Error("what was used up to the last checkpoint is lost, where the kernel lost it as well", "error", err)
	}
	return marks.Index()
}

// recoverOne prepares the row of one running session.
func (sr *Settler) recoverOne(c *ledger.Tx, s sessions.Session, r *dataplane.Reading, marks func() sessions.CheckpointIndex) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	reason := sr.mayNotRun(d, s, c.Now)
	rule := sr.enforce.Kernel.Rule(d.MAC)
	if reason == "" && sessions.Joined(s, rule, c.Now) && s.Meter.Counted().Knows(r) {
		c.Stored, c.Known = append(c.Stored, s), append(c.Known, d) // remembered as running
		return nil
	}
	marks().Debit(&s)
	rejoin(c, &s, r, rule)
	if reason != "" {
		if err := c.Stop(d, &s, sessions.Paused, reason); err != nil {
			return err
		}
		return c.Disconnected(d, s, reason, "")
	}
	c.Known = append(c.Known, d)
	return c.Save(&s)
}

// rejoin takes the baseline to what the kernel has. Where it does not hold the
// session's rule, the device could not use its time, at least since its last
// packet: that time is not charged. Nor is the time past the rule's deadline, when
// a later one was stored that the kernel was not told of.
func rejoin(c *ledger.Tx, s *sessions.Session, r *dataplane.Reading, rule dataplane.Rule) {
	if sessions.LimitMet(*s, r) { // for the settling that follows to see
		defer func(drops uint64) { s.Meter.Drops = drops }(s.Meter.Since(r.Epoch).Drops)
	}
	if r == nil {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = 0, 0, 0
	} else if !sessions.DebitBytes(s, *r) {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = r.Epoch, r.Counters.Spent(), r.Counters.LimitDrops
	}
	if s.Meter.Boot == c.Now.BootID && sessions.Enforces(rule, *s) {
		sessions.DebitTime(s, sessions.PassesUntil(rule, c.Now), c.Now)
	} else if r != nil {
		sessions.DebitTime(s, min(r.Counters.LastSeen, c.Now.Boot), c.Now)
	}
	s.Meter.Boot, s.Meter.At = c.Now.BootID, c.Now.Boot
}

// mayNotRun says why a session that the store has as running is not to go on.
func (sr *Settler) mayNotRun(d sessions.Device, s sessions.Session, now sessions.Instant) (reason string) {
	rule, static := sr.enforce.Static[d.MAC]
	switch {
	case static && rule.Verdict == dataplane.Block:
		return sessions.ReasonBlocked
	case static:
		return sessions.ReasonTrusted
	case s.Meter.Boot != now.BootID && !sr.cfg.ResumeAfterReboot:
		return sessions.ReasonReboot
	}
	return ""
}

// stale returns the MACs whose rule no running session and no configuration seems to
// have. It looks at what is remembered, without locks: doubts are looked into by who
// acts on them.
func (sr *Settler) stale() (wrong []dataplane.MAC) {
	for mac, rule := range sr.enforce.Kernel.Rules() {
		if _, ok := sr.enforce.Static[mac]; ok {
			continue
		}
		if _, of, running := sr.table.Session(sessions.SessionID(rule.Account)); !running || of != mac {
			wrong = append(wrong, mac)
		}
	}
	return wrong
}

// denyStale takes away rules, if they are as wrong as they seemed.
func (sr *Settler) denyStale(ctx context.Context, wrong []dataplane.MAC) error {
	var failed error
	for _, mac := range wrong {
		failed = errors.Join(failed, sr.denyIfStale(ctx, mac))
	}
	return failed
}

func (sr *Settler) denyIfStale(ctx context.Context, mac dataplane.MAC) error {
	unknown := sr.enforce.Lock(enforce.UnknownMAC)
	defer unknown.Unlock()
	d, err := sr.ledger.DeviceByMAC(ctx, mac)
	if sessions.CodeOf(err) == sessions.NotFound {
		return sr.enforce.Revoke(mac) // and no device takes the MAC meanwhile
	}
	if err != nil {
		return err
	}
	held := sr.enforce.Lock(d.ID)
	defer held.Unlock()
	d, s, err := sr.ledger.Lookup(ctx, d.ID)
	if err != nil || s != nil && d.MAC == mac {
		return err
	}
	return sr.enforce.Revoke(mac)
}

// grantStatic enforces the configuration's rules, those that deny first.
func (sr *Settler) grantStatic() error {
	macs := slices.SortedFunc(maps.Keys(sr.enforce.Static), func(a, b dataplane.MAC) int {
		return int(sr.enforce.Static[b].Verdict) - int(sr.enforce.Static[a].Verdict)
	})
	var failed error
	for _, mac := range macs {
		if sr.enforce.Kernel.Rule(mac) != sr.enforce.Static[mac] {
			failed = errors.Join(failed, sr.enforce.Grant(mac, sr.enforce.Static[mac]))
		}
	}
	return failed
}

// grantMissing grants what should be enforced and is not, or not as it should: in the
// order of the devices, so that it is always the same ones who get in where there is
// not room for all.
func (sr *Settler) grantMissing(ctx context.Context, devices []sessions.DeviceID) error {
	var failed error
	for _, id := range devices {
		if _, _, _, missing := sr.missing(id); missing {
			failed = errors.Join(failed, sr.grantIfMissing(ctx, id))
		}
	}
	return failed
}

// missing reports that a device runs a session whose rule is not as it should be.
func (sr *Settler) missing(id sessions.DeviceID) (s sessions.Session, mac dataplane.MAC, rule dataplane.Rule, missing bool) {
	s, mac, running := sr.table.Running(id)
	if !running {
		return s, mac, rule, false
	}
	rule = sr.enforce.RuleOf(s, sr.table.Bound(s.ID), sr.clock.Read())
	return s, mac, rule, !sessions.SameRule(sr.enforce.Kernel.Rule(mac), rule)
}

func (sr *Settler) grantIfMissing(ctx context.Context, id sessions.DeviceID) error {
	held := sr.enforce.Lock(id)
	defer held.Unlock()
	s, mac, rule, missing := sr.missing(id)
	if !missing {
		return nil
	}
	cause := sr.enforce.Grant(mac, rule)
	if sessions.CodeOf(cause) != sessions.Full {
		return cause
	}
	sr.log.Error("there is no room for a running session; it is paused", "device", id, "session", s.ID, "error", cause)
	d, err := sr.ledger.Device(ctx, id)
	if err != nil {
		return err
	}
	return sr.ledger.Commit(ctx, start.Stopping(d, s.ID, nil, sessions.ReasonFailed, cause.Error()))
}

// expireBatch bounds the sessions that expire in one transaction.
const expireBatch = 256

// expireAll records what expired while it did not run.
func (sr *Settler) expireAll(ctx context.Context) error {
	now := sr.clock.Read()
	if !now.WallTrusted {
		return nil
	}
	for last := sessions.SessionID(0); ; {
		list, err := sessions.View(ctx, sr.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.PastExpiry(now.Wall, expireBatch) })
		if err != nil || len(list) == 0 || list[0].ID == last { // the clock was set back meanwhile: next time
			return err
		}
		if err := sr.start.Expire(ctx, list); err != nil {
			return err
		}
		last = list[0].ID
	}
}

// restore takes from the store what a Manager has to remember: the providers, and the
// wall time that was known last.
func (sr *Settler) restore(ctx context.Context) error {
	if !sr.recalled.Load() {
		if err := sr.restoreClock(ctx); err != nil {
			return err
		}
		sr.recalled.Store(true)
	}
	return sr.providers.Load(ctx)
}

// restoreClock asks the marks, and where none told the time yet, the last event.
func (sr *Settler) restoreClock(ctx context.Context) error {
	marks := sr.lastCheckpoint()
	if !marks.Known.IsZero() {
		if marks.Boot == sr.clock.BootID() {
			sr.clock.Restore(marks.Known, marks.At, true)
		} else {
			sr.clock.Restore(marks.Known, 0, false)
		}
		return nil
	}
	return sr.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		last, err := ledger.LastEvent(tx)
		if err != nil {
			return err
		}
		if last.Time.Before(sessions.EarliestClock) {
			last.Time = time.Time{}
		}
		sr.clock.Restore(last.Time, sr.clock.Boot(), false)
		return nil
	})
}
