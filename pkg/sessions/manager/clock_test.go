// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

const day = 24 * time.Hour

func TestExpiryRunsWhilePaused(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour, ExpDays: ptr(uint(2))})
	w.clock.Advance(30 * day) // not before the first start
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.disconnect(d)
	w.clock.Advance(2 * day)
	w.state(s.ID, sessions.Expired) // as it is shown
	mark := w.mark()
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
	w.happened(mark, "session.expired(expired)")
	_, err = w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{ExpDays: ptr((*uint)(nil))})
	w.ok(err)
	w.state(s.ID, sessions.Paused)
}

func TestExpiryEndsARunningSession(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: 1 << 30, ExpDays: ptr(uint(1))})
	next := w.buyTime(d, time.Hour)
	w.connect(d)
	w.state(s.ID, sessions.Running)
	due, ok := w.Due()
	if want := w.clock.Boot().Add(day); !ok || due != want {
		t.Fatalf("due %d, want %d", due, want)
	}
	mark := w.mark()
	w.clock.Advance(day)
	w.passes(d, false) // by the kernel
	w.drain()
	w.state(s.ID, sessions.Expired)
	w.state(next.ID, sessions.Running)
	w.happened(mark, "session.expired(expired)", "session.started")
}

func TestPausedOnesExpireAtReconciling(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour, ExpDays: ptr(uint(1))})
	w.connect(d)
	w.disconnect(d)
	w.clock.Advance(day)
	mark := w.mark()
	w.ok(w.Reconcile(w.ctx))
	w.ok(w.Reconcile(w.ctx))
	w.happened(mark, "session.expired(expired)")
	w.state(s.ID, sessions.Expired)
}

// A router without a clock battery starts in 1970, and NTP sets its clock later.
func TestTheWallClockIsSetLate(t *testing.T) {
	w := newWorld(t, manager.Config{})
	today := w.clock.Now()
	w.clock.SetWall(time.Unix(1000, 0))
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: 100 * day, ExpDays: ptr(uint(2))})
	w.connect(d)
	if sum, _ := w.Summary(w.ctx); sum.ClockSane {
		t.Error("the clock of 1970 is believed")
	}
	w.clock.Advance(3 * day)
	w.checkpoint()
	w.state(s.ID, sessions.Running)

	w.clock.SetWall(today.Add(3 * day))
	w.checkpoint()
	got := w.state(s.ID, sessions.Expired) // it ran for three days
	if got.TimeUsed != 3*day {
		t.Errorf("%s used", got.TimeUsed)
	}
}

func TestUsedTimeDoesNotNoticeTheWallClock(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.SetWall(w.clock.Now().Add(400 * day))
	w.clock.Advance(time.Minute)
	w.checkpoint()
	w.clock.SetWall(w.clock.Now().Add(-800 * day))
	w.clock.Advance(time.Minute)
	w.checkpoint()
	if got := w.session(s.ID).TimeUsed; got != 2*time.Minute {
		t.Errorf("%s used, want 2m", got)
	}
}

// The deadline in the kernel follows when the wall clock is set.
func TestTheDeadlineFollowsTheWallClock(t *testing.T) {
	w := newWorld(t, manager.Config{Checkpoint: 2 * day})
	d := w.phone(1)
	w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: 1 << 30, ExpDays: ptr(uint(2))})
	w.connect(d)
	w.checkpoint()
	w.clock.SetWall(w.clock.Now().Add(day))
	w.checkpoint()
	rules := maps.Collect(w.kernel.Rules())
	if got := rules[d.MAC].Deadline.Sub(w.clock.Boot()); got != day {
		t.Errorf("the deadline is in %s, want 24h", got)
	}
	if due, _ := w.Due(); due != rules[d.MAC].Deadline {
		t.Errorf("due is %d, the deadline %d", due, rules[d.MAC].Deadline)
	}
}

func TestReboot(t *testing.T) {
	for _, resume := range []bool{false, true} {
		w := newWorld(t, manager.Config{ResumeAfterReboot: resume})
		d := w.phone(1)
		s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.TimeOrData, Time: time.Hour, Bytes: 10_000})
		w.connect(d)
		w.kernel.Download(d.MAC, 1000)
		w.clock.Advance(time.Minute)
		w.checkpoint()
		w.kernel.Download(d.MAC, 1000)
		w.clock.Advance(10 * time.Second) // lost, in the customer's favour
		w.kernel.Detach()
		w.clock.Reboot(time.Hour)
		w.restart()
		mark := w.mark()
		w.ok(w.Reconcile(w.ctx))
		got := w.session(s.ID)
		if got.TimeUsed != time.Minute || got.Used != 1000 {
			t.Errorf("resume %v: %s and %d bytes used", resume, got.TimeUsed, got.Used)
		}
		if !resume {
			w.state(s.ID, sessions.Paused)
			w.happened(mark, "session.paused(reboot)", "client.disconnected(reboot)")
			w.passes(d, false)
			continue
		}
		w.state(s.ID, sessions.Running)
		passed := w.kernel.Fill(d.MAC)
		w.drain()
		if got := w.state(s.ID, sessions.Consumed); got.Used != 1000+passed || got.Used > 10_000 {
			t.Errorf("%d bytes used, %d passed after the reboot", got.Used, passed)
		}
	}
}

// The agent is killed, the kernel continues.
func TestKilledForAWhile(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	short, long := w.buyTime(a, time.Minute), w.buyTime(b, time.Hour)
	next := w.buyTime(a, time.Hour)
	w.connect(a)
	w.connect(b)
	w.clock.Advance(10 * time.Minute)
	w.passes(a, false)
	w.passes(b, true)
	w.restart()
	mark := w.mark()
	w.ok(w.Reconcile(w.ctx))
	if got := w.state(short.ID, sessions.Consumed); got.TimeUsed != time.Minute {
		t.Errorf("%s used of a minute", got.TimeUsed)
	}
	if got := w.state(long.ID, sessions.Running); got.TimeUsed != 10*time.Minute || got.Used != 100 {
		t.Errorf("%s and %d bytes used", got.TimeUsed, got.Used)
	}
	if got := w.state(next.ID, sessions.Running); got.TimeUsed != 0 {
		t.Errorf("the next one used %s before it started", got.TimeUsed)
	}
	w.happened(mark, "session.consumed(consumed)", "session.started")
	w.passes(a, true)
}

// The programs were detached while the agent was dead: time in which nothing was enforced
// is not charged.
func TestDetachedMeanwhile(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.checkpoint()
	w.kernel.Detach()
	w.clock.Advance(10 * time.Minute)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	if got := w.state(s.ID, sessions.Running); got.TimeUsed != time.Minute {
		t.Errorf("%s used, want 1m", got.TimeUsed)
	}
	w.passes(d, true)
}

// Foreign changes of the kernel's tables are repaired, and no other device is touched.
func TestReconcileFindsWhatIsApart(t *testing.T) {
	for name, change := range map[string]func(w *world, mac dataplane.MAC, rule dataplane.Rule) error{
		"no rule": func(w *world, mac dataplane.MAC, _ dataplane.Rule) error { return w.kernel.Revoke(mac) },
		"no account": func(w *world, mac dataplane.MAC, rule dataplane.Rule) error {
			return errors.Join(w.kernel.Forget(rule.Account), w.kernel.Grant(mac, rule))
		},
		"another limit": func(w *world, mac dataplane.MAC, rule dataplane.Rule) error {
			rule.LimitBytes *= 2
			return w.kernel.Grant(mac, rule)
		},
		"another speed": func(w *world, mac dataplane.MAC, rule dataplane.Rule) error {
			rule.DownBPS++
			return w.kernel.Grant(mac, rule)
		},
		"a deadline": func(w *world, mac dataplane.MAC, rule dataplane.Rule) error {
			rule.Deadline = w.clock.Boot()
			return w.kernel.Grant(mac, rule)
		},
		"another account": func(w *world, mac dataplane.MAC, rule dataplane.Rule) error {
			rule.Account = 77
			return w.kernel.Grant(mac, rule)
		},
		"blocked": func(w *world, mac dataplane.MAC, _ dataplane.Rule) error {
			return w.kernel.Grant(mac, dataplane.Rule{Verdict: dataplane.Block})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, manager.Config{})
			a, b := w.phone(1), w.phone(2)
			w.buyData(a, 100_000)
			w.buyData(b, 100_000)
			w.connect(a)
			w.connect(b)
			w.clock.Advance(time.Second)
			want := maps.Collect(w.kernel.Rules())
			w.ok(change(w, a.MAC, want[a.MAC]))
			granted := make(map[dataplane.MAC]bool)
			w.kernel.Intercept(func(c sessionstest.Call) error {
				if c.Op == sessionstest.Grant {
					granted[c.MAC] = true
				}
				return nil
			})
			w.ok(w.Reconcile(w.ctx))
			if diff := cmp.Diff(want, maps.Collect(w.kernel.Rules())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w.passes(a, true)
			if granted[b.MAC] {
				t.Error("the other one's rule was made again")
			}
		})
	}
}

func TestReconcileRepairs(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	w.buyTime(a, time.Hour)
	w.buyTime(b, time.Hour)
	w.connect(a)
	w.ok(w.kernel.Revoke(a.MAC))
	w.ok(w.kernel.Grant(b.MAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 77, LimitBytes: dataplane.NoLimit}))
	w.ok(w.kernel.Grant(mac(9), dataplane.Rule{Verdict: dataplane.Block}))
	w.ok(w.Reconcile(w.ctx))
	w.passes(a, true)
	w.passes(b, false)
	if rules := maps.Collect(w.kernel.Rules()); len(rules) != 1 {
		t.Errorf("rules: %+v", rules)
	}
}

func TestConfigurationTakesADeviceOut(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	trusted, blocked := w.buyTime(a, time.Hour), w.buyTime(b, time.Hour)
	w.connect(a)
	w.connect(b)
	w.cfg.Trusted, w.cfg.Blocked = []dataplane.MAC{a.MAC}, []dataplane.MAC{b.MAC}
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.state(trusted.ID, sessions.Paused)
	w.state(blocked.ID, sessions.Paused)
	w.passes(a, true)
	w.passes(b, false)
}

func TestStop(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.ok(w.Stop(w.ctx, false))
	w.passes(d, true)
	if got := w.state(s.ID, sessions.Running); got.Meter.At != w.clock.Boot() {
		t.Error("not settled")
	}
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.ok(w.Stop(w.ctx, true))
	w.passes(d, false)
	w.state(s.ID, sessions.Paused)
}

// A checkpoint that settles a session while a comparison looks at it does not make it
// pay twice.
func TestReconcileBesideACheckpoint(t *testing.T) {
	w := newWorld(t, manager.Config{LowBalancePercent: 50})
	a, b := w.phone(1), w.phone(2)
	s := w.buyData(a, 100_000)
	other := w.buyData(b, 100_000)
	w.connect(a)
	w.connect(b)
	w.kernel.Download(a.MAC, 1000)
	for mac, rule := range w.kernel.Rules() {
		rule.DownBPS++
		w.ok(w.kernel.Grant(mac, rule))
	}
	beside := make(chan error, 1)
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Read && c.Account == other.Account() {
			w.kernel.Intercept(nil)
			w.kernel.Download(a.MAC, 59_000)
			go func() { beside <- w.Settle(w.ctx, slices.Values([][]dataplane.Reading{w.kernel.Readings()})) }()
			select {
			case err := <-beside: // nothing keeps it out
				beside <- err
			case <-time.After(50 * time.Millisecond): // it waits for the comparison's transaction
			}
		}
		return nil
	})
	w.ok(w.Reconcile(w.ctx))
	w.ok(<-beside)
	w.checkpoint()
	if got := w.state(s.ID, sessions.Running); got.Used != 60_000 {
		t.Errorf("%d bytes charged of 60000", got.Used)
	}
	w.passes(a, true)
}
