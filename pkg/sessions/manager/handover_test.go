// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// almost is before the end of a session, and late enough to hand over.
const almost = 10 * time.Millisecond

// Where the next session of time is known, not a packet is lost between the two, and
// each gets its time to the nanosecond.
func TestTimeHandsOverToTime(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyTime(d, time.Minute), w.buyTime(d, time.Hour)
	w.connect(d)
	mark := w.mark()
	w.clock.Advance(time.Minute - almost)
	w.ok(w.SettleDue(w.ctx))
	w.passes(d, true)
	if got := w.state(first.ID, sessions.Consumed); got.TimeUsed != time.Minute {
		t.Errorf("the first session used %s", got.TimeUsed)
	}
	w.happened(mark, "session.consumed(consumed)", "session.started")
	w.clock.Advance(almost - 1)
	w.passes(d, true)
	if got := w.state(second.ID, sessions.Running); got.TimeUsed != 0 {
		t.Errorf("the second session used %s before it began", got.TimeUsed)
	}
	w.clock.Advance(1)
	w.passes(d, true)
	w.clock.Advance(time.Hour - 1)
	w.passes(d, true)
	w.clock.Advance(1)
	w.passes(d, false) // by the kernel alone
	w.ok(w.SettleDue(w.ctx))
	if got := w.state(second.ID, sessions.Consumed); got.TimeUsed != time.Hour {
		t.Errorf("the second session used %s", got.TimeUsed)
	}
}

// Without one that may follow, a session runs to its end.
func TestTimeRunsToItsEnd(t *testing.T) {
	for name, buy := range map[string]func(*world, sessions.Device){
		"nothing": func(*world, sessions.Device) {},
		"data":    func(w *world, d sessions.Device) { w.buyData(d, 10_000) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, manager.Config{})
			d := w.phone(1)
			first := w.buyTime(d, time.Minute)
			buy(w, d)
			w.connect(d)
			end := w.clock.Boot().Add(time.Minute)
			w.clock.Advance(time.Minute - almost)
			w.ok(w.SettleDue(w.ctx))
			w.passes(d, true)
			w.state(first.ID, sessions.Running)
			if due, ok := w.Due(); !ok || due != end {
				t.Errorf("due %d, want %d: or it would be looked at all the time", due, end)
			}
			w.clock.Advance(almost)
			w.ok(w.SettleDue(w.ctx))
			if got := w.state(first.ID, sessions.Consumed); got.TimeUsed != time.Minute {
				t.Errorf("%s used", got.TimeUsed)
			}
		})
	}
}

// A session that was bought meanwhile follows at the end.
func TestPurchaseAfterTheHandover(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Minute - almost)
	w.ok(w.SettleDue(w.ctx))
	second := w.buyTime(d, time.Hour)
	w.clock.Advance(almost)
	w.ok(w.SettleDue(w.ctx))
	w.state(second.ID, sessions.Running)
	w.passes(d, true)
}

// A Disconnect right after the handover costs the second session nothing.
func TestDisconnectAfterTheHandover(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.buyTime(d, time.Minute)
	second := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute - almost)
	w.ok(w.SettleDue(w.ctx))
	w.disconnect(d)
	if got := w.state(second.ID, sessions.Paused); got.TimeUsed != 0 {
		t.Errorf("%s used", got.TimeUsed)
	}
	w.clock.Advance(time.Hour)
	w.connect(d)
	w.clock.Advance(time.Hour - 1)
	w.passes(d, true)
}

// The agent dies right after the handover; the kernel and the store continue.
func TestDiesAfterTheHandover(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyTime(d, time.Minute), w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute - almost)
	w.ok(w.SettleDue(w.ctx))
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.passes(d, true)
	w.clock.Advance(almost + time.Minute)
	if got := w.state(second.ID, sessions.Running); got.TimeUsed != time.Minute {
		t.Errorf("the second session used %s", got.TimeUsed)
	}
	if got := w.state(first.ID, sessions.Consumed); got.TimeUsed != time.Minute {
		t.Errorf("the first session used %s", got.TimeUsed)
	}
}
