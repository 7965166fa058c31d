// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

var errBroken = errors.New("broken")

// breaks has calls of one kind fail until mended.
func (w *world) breaks(op sessionstest.Op) {
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == op {
			return errBroken
		}
		return nil
	})
}

func (w *world) mend() { w.kernel.Intercept(nil) }

// The kernel does not take the next session: it is paused with all of its balance.
func TestSuccessorIsNotTaken(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyTime(d, time.Minute), w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute)
	mark := w.mark()
	w.breaks(sessionstest.Grant)
	w.checkpoint()
	w.mend()
	w.state(first.ID, sessions.Consumed)
	if got := w.state(second.ID, sessions.Paused); got.RemainingTime() != time.Hour {
		t.Errorf("%s left of an hour", got.RemainingTime())
	}
	w.happened(mark, "session.consumed(consumed)", "session.started", "session.paused(failed)", "client.disconnected(failed)")
	w.passes(d, false)
	w.connect(d)
}

// A top-up is kept though the kernel did not take it, and reaches it later.
func TestTopUpReachesTheKernelLater(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.breaks(sessionstest.Grant)
	topped, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddBytes: ptr(uint64(10_000))})
	w.ok(err)
	if topped.Bytes != 20_000 {
		t.Errorf("the session has %d bytes", topped.Bytes)
	}
	w.mend()
	w.checkpoint()
	if passed := w.kernel.Fill(d.MAC); passed <= 18_500 || passed > 20_000 {
		t.Errorf("%d bytes passed of 20,000", passed)
	}
}

// The rule of a session that ended stays until the kernel takes its removal; its
// limit and deadline hold meanwhile.
func TestRevokeIsRepeated(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.breaks(sessionstest.Revoke)
	w.checkpoint()
	w.state(s.ID, sessions.Consumed)
	w.passes(d, false)
	w.mend()
	w.clock.Advance(15 * time.Second)
	w.checkpoint()
	if rules := maps.Collect(w.kernel.Rules()); len(rules) != 0 {
		t.Errorf("rules: %+v", rules)
	}
}

// Packets that were in flight at the pause use up what was left.
func TestLateBytesUseUpAPausedSession(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyData(d, 10_000), w.buyTime(d, time.Hour)
	w.connect(d)
	w.disconnect(d)
	w.kernel.Late(first.Account(), 10_000)
	mark := w.mark()
	w.connect(d)
	w.state(first.ID, sessions.Consumed)
	w.state(second.ID, sessions.Running)
	w.happened(mark, "session.consumed(consumed)", "session.started", "client.connected")
}

// Counters cannot be read at a pause: it succeeds, and they are debited later.
func TestPauseWithoutCounters(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	w.breaks(sessionstest.Read)
	w.passes(d, true)
	if _, err := w.Disconnect(w.ctx, d.ID, ""); err != nil {
		t.Fatal(err)
	}
	w.mend()
	w.checkpoint()
	if got := w.state(s.ID, sessions.Paused); got.Used != 1100 {
		t.Errorf("%d bytes used, want 1100", got.Used)
	}
}

func TestNext(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	_, err := w.Next(w.ctx, d.ID)
	w.code(err, sessions.NoSession)
	_, err = w.Next(w.ctx, 99)
	w.code(err, sessions.NotFound)
	first, second := w.buyTime(d, time.Hour), w.buyTime(d, time.Hour)
	for _, want := range []sessions.SessionID{first.ID, second.ID} {
		got, err := w.Next(w.ctx, d.ID)
		w.ok(err)
		if got.ID != want {
			t.Errorf("next is %d, want %d", got.ID, want)
		}
		w.connect(d)
	}
}

func TestNextOfAProviderWhileItsSessionRuns(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := shopWorld(t, map[string]*shop{"cafe": cafe}, "cafe")
	d := w.phone(1)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	next, err := w.Next(w.ctx, d.ID)
	w.ok(err)
	if next.Provider != "cafe" {
		t.Errorf("next is %+v", next)
	}
	w.kernel.Download(d.MAC, 1000)
	if got := w.session(1); got.Used != 2000 || got.State != sessions.Running {
		t.Errorf("the running one is %+v", got)
	}
}

func TestSummary(t *testing.T) {
	w := newWorld(t, manager.Config{})
	for n := 1; n <= 5; n++ {
		w.buyTime(w.phone(n), time.Hour)
	}
	w.connect(sessions.Device{ID: 3})
	w.checkpoint()
	sum, err := w.Summary(w.ctx)
	w.ok(err)
	if sum.Devices != 5 || sum.Connected != 1 || sum.Sessions[sessions.Available] != 4 || !sum.ClockSane ||
		sum.LastSeq != int64(len(w.events(0))) || !sum.LastSettle.Equal(w.clock.Now()) || sum.SettleErr != nil {
		t.Errorf("summary: %+v", sum)
	}
	w.store.BeforeCommit(func() error { return errBroken })
	w.clock.Advance(time.Minute)
	readings := w.kernel.Readings()
	if err := w.Settle(w.ctx, slices.Chunk(readings, 2)); !errors.Is(err, errBroken) {
		t.Errorf("Settle: %v", err)
	}
	if sum, _ := w.Summary(w.ctx); !errors.Is(sum.SettleErr, errBroken) {
		t.Errorf("after a failed Settle: %+v", sum)
	}
}

// Old readings that come late change nothing.
func TestOldReadingsAreIgnored(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	old := w.kernel.Readings()
	w.kernel.Download(d.MAC, 1000)
	w.checkpoint()
	for range 3 {
		w.ok(w.Settle(w.ctx, slices.Chunk(old, 2)))
	}
	if got := w.session(s.ID); got.Used != 2000 {
		t.Errorf("%d bytes used", got.Used)
	}
	if got := w.kernel.Rule(d.MAC); got.LimitBytes != 10_000 || got.Verdict != dataplane.Allow {
		t.Errorf("the rule is %+v", got)
	}
}
