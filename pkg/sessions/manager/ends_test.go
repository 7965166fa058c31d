// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

func TestDataEndsAtTheByte(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000_000)
	w.connect(d)
	mark := w.mark()
	passed := w.kernel.Fill(d.MAC)
	if passed > 10_000_000 || passed <= 10_000_000-1500 {
		t.Fatalf("%d bytes passed", passed)
	}
	w.drain()
	if got := w.state(s.ID, sessions.Consumed); got.Used != passed {
		t.Errorf("%d bytes used, %d passed", got.Used, passed)
	}
	w.happened(mark, "session.consumed(consumed)", "client.disconnected(consumed)")
	w.passes(d, false)
}

func TestLostEventIsFoundAtTheCheckpoint(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.checkpoint()
	w.kernel.Fill(d.MAC) // and the event is not read
	w.checkpoint()
	w.state(s.ID, sessions.Consumed)
}

// What is left is less than a packet, and the kernel reports an end only once.
func TestPauseOfAnExhaustedSession(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyData(d, 10_000), w.buyTime(d, time.Hour)
	w.connect(d)
	w.kernel.Fill(d.MAC)
	mark := w.mark()
	w.disconnect(d)
	w.happened(mark, "session.consumed(consumed)", "client.disconnected(request)")
	w.state(first.ID, sessions.Consumed)
	w.connect(d)
	w.state(second.ID, sessions.Running)
	w.drain()
	w.state(second.ID, sessions.Running)
}

// A Connect that comes when the session ended in the kernel, but before the meter.
func TestConnectAtTheEnd(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyTime(d, time.Minute), w.buyData(d, 10_000)
	third := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.connect(d)
	w.passes(d, true)
	w.state(first.ID, sessions.Consumed)
	w.state(second.ID, sessions.Running)
	w.kernel.Fill(d.MAC)
	w.connect(d)
	w.passes(d, true)
	w.state(third.ID, sessions.Running)
}

// The agent dies with the event in its hands.
func TestEventDiesWithTheAgent(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Fill(d.MAC)
	<-w.kernel.Events()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.state(s.ID, sessions.Consumed)
}

func TestTimeEndsAtTheDeadline(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, 3*time.Second)
	w.connect(d)
	w.dueAtEnd(w.clock.Boot().Add(3 * time.Second))
	w.clock.Advance(3*time.Second - 1)
	w.passes(d, true)
	w.checkpoint()
	w.clock.Advance(1)
	w.passes(d, false) // by the kernel alone
	w.clock.Advance(time.Minute)
	w.checkpoint()
	if got := w.state(s.ID, sessions.Consumed); got.TimeUsed != 3*time.Second {
		t.Errorf("%s used", got.TimeUsed)
	}
	if _, ok := w.Due(); ok {
		t.Error("something is due though nothing runs")
	}
}

func TestTheNextSessionStartsByItself(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyData(d, 10_000), w.buyTime(d, time.Minute)
	w.connect(d)
	mark := w.mark()
	w.kernel.Fill(d.MAC)
	w.drain()
	w.state(first.ID, sessions.Consumed)
	w.state(second.ID, sessions.Running)
	w.passes(d, true)
	w.happened(mark, "session.consumed(consumed)", "session.started")

	w.clock.Advance(time.Minute)
	mark = w.mark()
	w.checkpoint()
	if got := w.state(second.ID, sessions.Consumed); got.Used != 100 {
		t.Errorf("the second session used %d bytes", got.Used)
	}
	w.happened(mark, "session.consumed(consumed)", "client.disconnected(consumed)")
}

// Rows are written of sessions that end or become low; a checkpoint has the counts of the
// others.
func TestRunningSessionsAreCheckpointed(t *testing.T) {
	w := newWorld(t, manager.Config{LowBalancePercent: 10})
	a, b := w.phone(1), w.phone(2)
	short, long := w.buyTime(a, 5*time.Second), w.buyTime(b, time.Hour)
	next := w.buyTime(a, time.Hour)
	w.connect(a)
	w.connect(b)
	w.kernel.Download(b.MAC, 1000)
	row := w.stored(long.ID)
	w.clock.Advance(4500 * time.Millisecond)
	mark := w.mark()
	w.checkpoint()
	w.happened(mark, "session.low")
	w.clock.Advance(500 * time.Millisecond)
	w.ok(w.SettleDue(w.ctx))
	w.state(short.ID, sessions.Consumed)
	w.state(next.ID, sessions.Running)
	if w.stored(long.ID) != row {
		t.Error("the row of a session that keeps running was written")
	}
	w.clock.Advance(5 * time.Second)
	w.checkpoint()
	marks, err := w.store.Checkpoint()
	w.ok(err)
	want := sessions.Checkpoint{Boot: w.clock.BootID(), At: w.clock.Boot(), Epoch: 1, Spent: []sessions.Count{{Account: long.Account(), Spent: 1000}}, Known: w.clock.Now()}
	if diff := cmp.Diff(want, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestTimeOrDataEndsOnEither(t *testing.T) {
	w := newWorld(t, manager.Config{})
	both := sessions.SessionSpec{Type: sessions.TimeOrData, Time: time.Minute, Bytes: 10_000}
	a, b := w.phone(1), w.phone(2)
	both.Device = a.ID
	byData := w.buy(both)
	both.Device = b.ID
	byTime := w.buy(both)
	w.connect(a)
	w.connect(b)
	w.kernel.Fill(a.MAC)
	w.drain()
	w.state(byData.ID, sessions.Consumed)
	w.clock.Advance(time.Minute)
	w.checkpoint()
	w.state(byTime.ID, sessions.Consumed)
}
