// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// timeHistory is a history of sessions of time, with a ledger of how long the kernel
// let each of them pass.
type timeHistory struct {
	*history
	connected map[sessions.SessionID]time.Duration
	crashes   int
}

// A history of purchases, verbs, top-ups, moves and crashes at any step of them
// charges no time in which the kernel let nothing pass, and gives away none but that
// in which the agent was dead in the middle of a step.
func TestOnlyConnectedTimeIsCharged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &timeHistory{history: newHistory(rt), connected: make(map[sessions.SessionID]time.Duration)}
		verb := func(do func(id sessions.DeviceID) error) func(*rapid.T) {
			return func(*rapid.T) {
				id := h.anyDevice()
				h.tryTimed(func() error { return do(id) })
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"buy":        h.buyTimed,
			"connect":    verb(func(id sessions.DeviceID) error { _, err := h.Connect(h.ctx, id, ""); return err }),
			"disconnect": verb(func(id sessions.DeviceID) error { _, err := h.Disconnect(h.ctx, id, ""); return err }),
			"move": verb(func(id sessions.DeviceID) error {
				to := mac(byte(rapid.IntRange(1, 5).Draw(rt, "mac"))).String()
				_, err := h.UpdateDevice(h.ctx, id, sessions.DevicePatch{MAC: &to})
				return err
			}),
			"top up":     h.topUpTimed,
			"time":       func(*rapid.T) { h.pass(h.ms(3000)) },
			"checkpoint": func(*rapid.T) { h.tryTimed(h.settleAll) },
			"reconcile":  func(*rapid.T) { h.tryTimed(func() error { return h.Reconcile(h.ctx) }) },
			"crash soon": func(*rapid.T) { h.fuse = rapid.IntRange(0, 6).Draw(rt, "steps left") },
		})
		h.compare()
	})
}

func (h *timeHistory) ms(most int) time.Duration {
	return time.Duration(rapid.IntRange(1, most).Draw(h.rt, "ms")) * time.Millisecond
}

// pass lets time pass, and notes it for the accounts that the kernel lets through.
func (h *timeHistory) pass(d time.Duration) {
	now := h.clock.Boot()
	passing := make(map[dataplane.Account]time.Duration) // a moving device has two rules
	for _, r := range h.kernel.Rules() {
		until := now.Add(d)
		if r.Deadline != 0 {
			until = min(until, r.Deadline)
		}
		passing[r.Account] = max(passing[r.Account], until.Sub(now))
	}
	for account, d := range passing {
		h.connected[sessions.SessionOf(account)] += d
	}
	h.clock.Advance(d)
}

// tryTimed is try, in which the agent's death lasts up to a second.
func (h *timeHistory) tryTimed(do func() error) {
	err := do()
	if !h.crashed {
		if code := sessions.CodeOf(err); err != nil && code != sessions.NoSession && code != sessions.Conflict {
			h.Fatalf("%v", err)
		}
		return
	}
	h.crashes++
	h.pass(h.ms(1000))
	h.crashed, h.fuse = false, -1
	h.restart()
	h.ok(h.Reconcile(h.ctx))
}

func (h *timeHistory) buyTimed(*rapid.T) {
	spec := sessions.SessionSpec{Device: h.anyDevice(), Type: sessions.Time, Time: h.ms(5000)}
	h.tryTimed(func() error {
		s, err := h.CreateSession(h.ctx, spec)
		if err == nil {
			h.ids = append(h.ids, s.ID)
		}
		return err
	})
}

func (h *timeHistory) topUpTimed(*rapid.T) {
	if len(h.ids) == 0 {
		return
	}
	id := rapid.SampledFrom(h.ids).Draw(h.rt, "session")
	more := h.ms(3000)
	h.tryTimed(func() error {
		_, err := h.UpdateSession(h.ctx, id, sessions.SessionPatch{AddTime: &more})
		return err
	})
}

// compare lets everything run out and compares the ledgers.
func (h *timeHistory) compare() {
	h.fuse, h.crashed = -1, false
	h.restart()
	h.ok(h.Reconcile(h.ctx))
	for range len(h.ids) + 3 { // one may start after the other
		h.ok(h.settleAll())
		h.pass(15 * time.Second)
	}
	h.ok(h.settleAll())
	for _, id := range h.ids {
		s, connected := h.session(id), h.connected[id]
		given := time.Duration(h.crashes) * time.Second
		if s.TimeUsed > connected || s.TimeUsed < connected-given || s.TimeUsed > s.Time {
			h.Fatalf("session %d: %s charged, %s connected, %d crashes: %+v", id, s.TimeUsed, connected, h.crashes, s)
		}
	}
}

// A top-up that comes when the kernel has already ended the session, and before the
// agent has, buys time from now on.
func TestTopUpPastTheDeadline(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Hour)
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddTime: ptr(time.Minute)})
	w.ok(err)
	if got := w.state(s.ID, sessions.Running).RemainingTime(); got != time.Minute {
		t.Errorf("%s remain of the minute that was bought", got)
	}
	w.passes(d, true)
}

// The agent dies after it stored a top-up and before the kernel knew: the time in
// which the kernel let nothing pass is not charged.
func TestTopUpThatTheKernelNeverSaw(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Minute)
	w.connect(d)
	w.breaks("grant")
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddTime: ptr(time.Hour)})
	w.ok(err)
	w.mend()
	w.clock.Advance(30 * time.Minute)
	w.passes(d, false)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	if got := w.state(s.ID, sessions.Running); got.TimeUsed != time.Minute || got.RemainingTime() != time.Hour {
		t.Errorf("%s used, %s remain", got.TimeUsed, got.RemainingTime())
	}
	w.passes(d, true)
}
