// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// Reconciler joins what was bought with what is enforced. Safe for concurrent use.
type Reconciler struct {
	*Settler
	restored atomic.Bool // the wall clock, from the store
}

// Reconcile is manager.Manager.Reconcile.
func (rc *Reconciler) Reconcile(ctx context.Context) error {
	first := !rc.restored.Load()
	if err := rc.restore(ctx); err != nil {
		return err
	}
	doubtful, err := rc.doubtful(ctx, first)
	if err != nil {
		return err
	}
	if err := rc.recover(ctx, doubtful); err != nil {
		return err
	}
	if first {
		if err := rc.settleOver(ctx); err != nil {
			return err
		}
	}
	err = errors.Join(
		rc.denyStale(ctx, rc.stale()),
		rc.grantStatic(),
		rc.grantMissing(ctx, doubtful),
		rc.expireAll(ctx),
	)
	if first {
		err = errors.Join(err, rc.start.CloseForgotten(ctx))
	}
	return errors.Join(err, rc.providers.Redeliver(ctx)) // last: what providers answer may change what runs
}

// settleOver ends what is over and was not noticed, with counters read now.
func (rc *Reconciler) settleOver(ctx context.Context) error {
	for some := range slices.Chunk(rc.table.Devices(), ledger.BatchSize) {
		b := batch{read: make(running.Readings)}
		now := rc.clock.Read()
		for _, id := range some {
			s, ok := rc.table.Running(id)
			if !ok {
				continue
			}
			r, err := rc.enforce.Read(s.Account())
			if err != nil {
				return err
			}
			needsRow, over := rc.table.Judge(id, r, now)
			if !needsRow {
				continue
			}
			b.add(id, over)
			if r != nil {
				b.read[r.Account] = *r
			}
		}
		if err := rc.settleBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// doubtful are the devices with a running session that the kernel may not enforce as it
// should: at first all that the store has.
func (rc *Reconciler) doubtful(ctx context.Context, first bool) ([]sessions.DeviceID, error) {
	if first {
		return rc.ledger.RunningDevices(ctx)
	}
	return rc.drifted()
}

// recover remembers what runs, and prepares the rows of running sessions that the
// kernel does not enforce as they say: after a reboot, after a detach, or by a change
// of configuration.
func (rc *Reconciler) recover(ctx context.Context, devices []sessions.DeviceID) error {
	marks := sync.OnceValue(rc.lastCheckpoint)
	for some := range slices.Chunk(devices, ledger.BatchSize) {
		if err := rc.recoverSome(ctx, some, marks); err != nil {
			return err
		}
	}
	return nil
}

func (rc *Reconciler) recoverSome(ctx context.Context, devices []sessions.DeviceID, marks func() sessions.CheckpointIndex) error {
	held := rc.enforce.Lock(devices...)
	defer held.Unlock()
	return rc.ledger.Commit(ctx, func(c *ledger.Tx) error {
		running, err := c.RunningOf(devices)
		if err != nil {
			return err
		}
		// Not before: a row that was settled since would seem to know more than the kernel
		// counted, and what it has been charged would be charged again.
		read, err := rc.enforce.CountsOf(running)
		if err != nil {
			return err
		}
		for _, s := range running {
			if err := rc.recoverOne(c, s, read.Of(s), marks); err != nil {
				return err
			}
		}
		return nil
	})
}

// lastCheckpoint are the marks of the last checkpoint. An agent that cannot read them
// starts all the same: what they say is the customers'.
func (rc *Reconciler) lastCheckpoint() sessions.CheckpointIndex {
	marks, err := rc.ledger.Store.Checkpoint()
	if err != nil {
		rc.log.Error("last checkpoint not read; usage since the rows were written is lost where the kernel lost its counters", "error", err)
	}
	return marks.Index()
}

// recoverOne prepares the row of one running session.
func (rc *Reconciler) recoverOne(c *ledger.Tx, s sessions.Session, r *dataplane.Reading, marks func() sessions.CheckpointIndex) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	reason := rc.mayNotRun(d, s, c.Now)
	rule := rc.enforce.Kernel.Rule(d.MAC)
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
// session's rule, the device could not use its time, at least since it last sent a
// packet: that time is not charged. Nor is the time past the rule's deadline, when
// a later one was stored that the kernel never got.
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

// mayNotRun returns why a session that the store has as running must not continue; empty:
// it may.
func (rc *Reconciler) mayNotRun(d sessions.Device, s sessions.Session, now sessions.Instant) (reason string) {
	rule, static := rc.enforce.Static[d.MAC]
	switch {
	case static && rule.Verdict == dataplane.Block:
		return sessions.ReasonBlocked
	case static:
		return sessions.ReasonTrusted
	case s.Meter.Boot != now.BootID && !rc.cfg.ResumeAfterReboot:
		return sessions.ReasonReboot
	}
	return ""
}

// stale returns the MACs whose rule no running session and no configuration seems to
// have. It reads memory without locks; denyIfStale checks again under them.
func (rc *Reconciler) stale() (wrong []dataplane.MAC) {
	for mac, rule := range rc.enforce.Kernel.Rules() {
		if _, ok := rc.enforce.Static[mac]; ok {
			continue
		}
		if s, running := rc.table.Account(rule.Account); !running || s.MAC != mac {
			wrong = append(wrong, mac)
		}
	}
	return wrong
}

// denyStale takes away rules, if they are as wrong as they seemed.
func (rc *Reconciler) denyStale(ctx context.Context, wrong []dataplane.MAC) error {
	var failed error
	for _, mac := range wrong {
		failed = errors.Join(failed, rc.denyIfStale(ctx, mac))
	}
	return failed
}

func (rc *Reconciler) denyIfStale(ctx context.Context, mac dataplane.MAC) error {
	unknown := rc.enforce.Lock(enforce.UnknownMAC)
	defer unknown.Unlock()
	d, err := rc.ledger.DeviceByMAC(ctx, mac)
	if sessions.CodeOf(err) == sessions.NotFound {
		return rc.enforce.Revoke(mac) // and no device takes the MAC meanwhile
	}
	if err != nil {
		return err
	}
	held := rc.enforce.Lock(d.ID)
	defer held.Unlock()
	d, s, err := rc.ledger.Lookup(ctx, d.ID)
	if err != nil || s != nil && d.MAC == mac {
		return err
	}
	return rc.enforce.Revoke(mac)
}

// grantStatic enforces the configuration's rules, those that deny first.
func (rc *Reconciler) grantStatic() error {
	macs := slices.SortedFunc(maps.Keys(rc.enforce.Static), func(a, b dataplane.MAC) int {
		return int(rc.enforce.Static[b].Verdict) - int(rc.enforce.Static[a].Verdict)
	})
	var failed error
	for _, mac := range macs {
		if rc.enforce.Kernel.Rule(mac) != rc.enforce.Static[mac] {
			failed = errors.Join(failed, rc.enforce.Grant(mac, rc.enforce.Static[mac]))
		}
	}
	return failed
}

// grantMissing grants what should be enforced and is not, or not as it should: in the
// order of the devices, so that it is always the same ones that are granted where
// there is not room for all.
func (rc *Reconciler) grantMissing(ctx context.Context, devices []sessions.DeviceID) error {
	var failed error
	for _, id := range devices {
		if _, _, missing := rc.missing(id); missing {
			failed = errors.Join(failed, rc.grantIfMissing(ctx, id))
		}
	}
	return failed
}

// missing returns what a device runs and the rule that it should have, and whether it
// lacks it.
func (rc *Reconciler) missing(id sessions.DeviceID) (s running.Snapshot, rule dataplane.Rule, missing bool) {
	s, ok := rc.table.Running(id)
	if !ok {
		return s, rule, false
	}
	rule = rc.enforce.RuleOf(s.Session, s.Bound, rc.clock.Read())
	return s, rule, !sessions.SameRule(rc.enforce.Kernel.Rule(s.MAC), rule)
}

func (rc *Reconciler) grantIfMissing(ctx context.Context, id sessions.DeviceID) error {
	held := rc.enforce.Lock(id)
	defer held.Unlock()
	s, rule, missing := rc.missing(id)
	if !missing {
		return nil
	}
	cause := rc.enforce.Grant(s.MAC, rule)
	if sessions.CodeOf(cause) != sessions.Full {
		return cause
	}
	rc.log.Error("there is no room for a running session; it is paused", "device", id, "session", s.ID, "error", cause)
	d, err := rc.ledger.Device(ctx, id)
	if err != nil {
		return err
	}
	return rc.ledger.Commit(ctx, start.Stopping(d, s.ID, nil, sessions.ReasonFailed, cause.Error()))
}

// expireBatch bounds the sessions that expire in one transaction.
const expireBatch = 256

// expireAll records what expired while it did not run.
func (rc *Reconciler) expireAll(ctx context.Context) error {
	now := rc.clock.Read()
	if !now.WallTrusted {
		return nil
	}
	for last := sessions.SessionID(0); ; {
		list, err := sessions.View(ctx, rc.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.PastExpiry(now.Wall, expireBatch) })
		if err != nil || len(list) == 0 || list[0].ID == last { // the clock was set back meanwhile: next time
			return err
		}
		if err := rc.start.Expire(ctx, list, now); err != nil {
			return err
		}
		last = list[0].ID
	}
}

// restore takes from the store what a Manager has to remember: the providers, and the
// wall time that was known last.
func (rc *Reconciler) restore(ctx context.Context) error {
	if !rc.restored.Load() {
		if err := rc.restoreClock(ctx); err != nil {
			return err
		}
		rc.restored.Store(true)
	}
	return rc.providers.Load(ctx)
}

// restoreClock takes the wall time of the checkpoint, or else of the last event.
func (rc *Reconciler) restoreClock(ctx context.Context) error {
	marks := rc.lastCheckpoint()
	if !marks.Known.IsZero() {
		if marks.Boot == rc.clock.BootID() {
			rc.clock.Restore(marks.Known, marks.At, true)
		} else {
			rc.clock.Restore(marks.Known, 0, false)
		}
		return nil
	}
	return rc.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		last, err := ledger.LastEvent(tx)
		if err != nil {
			return err
		}
		if last.Time.Before(dataplane.EarliestClock) {
			last.Time = time.Time{}
		}
		rc.clock.Restore(last.Time, rc.clock.Boot(), false)
		return nil
	})
}

// drifted returns the devices whose running session the kernel may not hold as it is
// remembered. It goes through the kernel's tables in their order: in another one, each
// look is at a part that has to be mapped first.
func (rc *Reconciler) drifted() ([]sessions.DeviceID, error) {
	rc.settling.Lock()
	defer rc.settling.Unlock()
	comparison := rc.table.Compare()
	now := rc.clock.Read()
	err := rc.enforce.Kernel.ReadAll(func(some []dataplane.Reading) bool {
		comparison.Readings(some)
		return true
	})
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "the kernel's counters cannot be read: %w", err)
	}
	for mac, rule := range rc.enforce.Kernel.Rules() {
		s, running := rc.table.Account(rule.Account)
		if running && s.MAC == mac && sessions.Joined(s.Session, rule, now) && sessions.SameRule(rule, rc.enforce.RuleOf(s.Session, s.Bound, now)) {
			comparison.Whole(s.ID)
		}
	}
	return comparison.Drifted(), nil
}
