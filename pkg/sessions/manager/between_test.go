// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// gatekeeper is a provider with nothing to sell, that can be made to think about it.
type gatekeeper struct {
	*shop
	asked chan struct{} // receives when a question waits
	gate  chan struct{} // answers when it can be received from; nil: at once
}

func (g *gatekeeper) GetSession(ctx context.Context, d sessions.Device) (sessions.ProvidedSession, bool, error) {
	if g.gate != nil {
		g.asked <- struct{}{}
		select {
		case <-g.gate:
		case <-ctx.Done():
		}
	}
	return g.shop.GetSession(ctx, d)
}

// gated is a world with a gatekeeper.
func gated(t *testing.T) (w *world, g *gatekeeper) {
	t.Helper()
	g = &gatekeeper{shop: newShop(nil), asked: make(chan struct{}, 8)}
	w = newWorld(t, manager.Config{
		ProviderTimeout: time.Hour,
		Dial:            func(sessions.ProviderRecord) sessions.Provider { return g },
	})
	w.ok(w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "shop", Socket: "/run/shop"}))
	t.Cleanup(func() {
		if err := w.Stop(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return w, g
}

// usesUp has a device use up its session, and the gatekeeper think about the next one.
func (w *world) usesUp(g *gatekeeper, d sessions.Device, s sessions.Session) {
	w.Helper()
	g.gate = make(chan struct{})
	w.kernel.Fill(d.MAC)
	w.drain()
	w.state(s.ID, sessions.Consumed)
	<-g.asked
}

// betweenSessions is a device whose first session ended, and whose second waits for
// what a provider has to say.
func betweenSessions(t *testing.T) (w *world, g *gatekeeper, d sessions.Device, next sessions.Session) {
	t.Helper()
	w, g = gated(t)
	d = w.phone(1)
	first := w.buyData(d, 10_000)
	next = w.buyTime(d, time.Hour)
	w.connect(d)
	w.usesUp(g, d, first)
	return w, g, d, next
}

// dies ends the agent; nothing of what it still does is stored.
func (w *world) dies() {
	w.Helper()
	w.store.BeforeCommit(func() error { return errCrash })
	if err := w.Stop(w.ctx, false); !errors.Is(err, errCrash) {
		w.Fatalf("stopped while nothing could be stored: %v", err)
	}
	w.store.BeforeCommit(nil)
	w.cfg = manager.Config{}
}

// A Disconnect while the next session is being looked for is obeyed: nothing starts
// afterwards, and the device is disconnected once.
func TestDisconnectBetweenSessions(t *testing.T) {
	w, g, d, next := betweenSessions(t)
	mark := w.mark()
	w.disconnect(d)
	w.happened(mark, "client.disconnected(request)")
	close(g.gate)
	w.ok(w.Stop(w.ctx, false)) // waits for the answer
	w.state(next.ID, sessions.Available)
	w.passes(d, false)
	w.happened(mark, "client.disconnected(request)")
}

// Connect on the device meanwhile: no client.disconnected follows it.
func TestConnectBetweenSessions(t *testing.T) {
	w, g, d, next := betweenSessions(t)
	mark := w.mark()
	done := make(chan error, 1)
	go func() { _, err := w.Connect(w.ctx, d.ID, ""); done <- err }()
	<-g.asked
	close(g.gate)
	w.ok(<-done)
	w.ok(w.Stop(w.ctx, false))
	w.state(next.ID, sessions.Running)
	if got := w.events(mark); slices.Contains(got, "client.disconnected(consumed)") {
		t.Errorf("events: %v", got)
	}
}

// The agent dies while it queries the provider: its next start publishes the device's
// disconnection, once.
func TestDiesBetweenSessions(t *testing.T) {
	w, _, _, next := betweenSessions(t)
	mark := w.mark()
	w.dies()
	w.happened(mark)
	for range 2 {
		w.restart()
		w.ok(w.Reconcile(w.ctx))
		w.ok(w.Reconcile(w.ctx))
		w.happened(mark, "client.disconnected(consumed)")
	}
	w.state(next.ID, sessions.Available)
}

// The same on a device that got its session from another one.
func TestDiesAfterAMovedSession(t *testing.T) {
	w, g := gated(t)
	d, other := w.phone(1), w.phone(2)
	s := w.buyData(d, 10_000)
	w.connect(d)
	_, err := w.MoveSession(w.ctx, s.ID, other.ID)
	w.ok(err)
	w.usesUp(g, other, s)
	mark := w.mark()
	w.dies()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.happened(mark, "client.disconnected(consumed)")
}

// A start publishes no disconnection of devices that are connected, or whose
// disconnection was published.
func TestStartRepeatsNoDisconnection(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b, c := w.phone(1), w.phone(2), w.phone(3)
	for _, d := range []sessions.Device{a, b} {
		w.buyTime(d, time.Hour)
		w.connect(d)
	}
	paused := w.buy(sessions.SessionSpec{Device: c.ID, Type: sessions.Time, Time: time.Hour, ExpDays: ptr(uint(1))})
	w.connect(c)
	w.disconnect(c)
	w.disconnect(b)
	w.clock.Advance(25 * time.Hour)
	w.restart()
	mark := w.mark()
	w.ok(w.Reconcile(w.ctx))
	w.state(paused.ID, sessions.Expired)
	w.happened(mark, "session.consumed(consumed)", "client.disconnected(consumed)", "session.expired(expired)")
}

// While one session ends by time, one that ended by bytes unheard is not left to the
// next checkpoint: its device has another one to start.
func TestUnheardEndBesideOneThatIsDue(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	short, data := w.buyTime(a, 5*time.Second), w.buyData(b, 10_000)
	next := w.buyTime(b, time.Hour)
	w.connect(a)
	w.connect(b)
	w.checkpoint()
	w.clock.Advance(5 * time.Second)
	w.kernel.Fill(b.MAC)
	for range len(w.kernel.Events()) {
		<-w.kernel.Events() // lost, or too many to be handled one by one
	}
	w.checkpoint()
	w.state(short.ID, sessions.Consumed)
	w.state(data.ID, sessions.Consumed)
	w.state(next.ID, sessions.Running)
	w.passes(b, true)
}

// A purchase while connected starts when what runs has ended.
func TestPurchaseWhileConnected(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first := w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Second)
	mark := w.mark()
	second := w.buyTime(d, time.Hour)
	w.happened(mark, "session.created")
	w.state(second.ID, sessions.Available)
	if got := w.state(first.ID, sessions.Running); got.TimeUsed != time.Second {
		t.Errorf("%s used of the first", got.TimeUsed)
	}
	w.passes(d, true)
	w.clock.Advance(59 * time.Second)
	w.checkpoint()
	w.state(first.ID, sessions.Consumed)
	w.state(second.ID, sessions.Running)
	w.happened(mark, "session.created", "session.consumed(consumed)", "session.started")
}

// Disconnect races with the end of the session: it ends once, the balance is right,
// and nothing runs afterwards unless the next session began before the Disconnect.
func TestDisconnectWhileBeingSpent(t *testing.T) {
	for range 50 {
		w := newWorld(t, manager.Config{})
		d := w.phone(1)
		s := w.buyData(d, 10_000)
		w.connect(d)
		mark := w.mark()
		done := make(chan error, 2)
		go func() {
			w.kernel.Fill(d.MAC)
			done <- nil
		}()
		go func() { _, err := w.Disconnect(w.ctx, d.ID, ""); done <- err }()
		w.drain()
		w.ok(<-done)
		w.ok(<-done)
		w.drain()
		passed := uint64(0)
		if r, err := w.kernel.Read(s.Account()); err == nil {
			passed = r.Counters.Spent()
		}
		w.passes(d, false)
		w.checkpoint()
		got := w.session(s.ID)
		if got.Used != passed || got.State == sessions.Running {
			t.Fatalf("%d bytes passed, the session is %+v", passed, got)
		}
		events := w.events(mark)
		ends := slices.DeleteFunc(slices.Clone(events), func(e string) bool { return e[:7] != "client." })
		if len(ends) != 1 {
			t.Fatalf("events: %v", events)
		}
	}
}
