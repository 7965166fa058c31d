// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// slowSaver is a provider that can take a Save and sit on it.
type slowSaver struct {
	*shop
	mu      sync.Mutex
	slow    bool
	arrived chan uint64   // what each Save says was used, on its arrival
	release chan struct{} // lets go of the one it sits on
}

func (s *slowSaver) Save(ctx context.Context, token string, data sessions.SessionData) error {
	s.mu.Lock()
	slow := s.slow
	s.slow = false
	s.mu.Unlock()
	s.arrived <- data.Used
	if slow {
		<-s.release
	}
	return s.shop.Save(ctx, token, data)
}

// providerWorld is a world with one provider, called shop.
func providerWorld(t *testing.T, p sessions.Provider) *world {
	t.Helper()
	w := newWorld(t, manager.Config{
		ProviderTimeout: 10 * time.Second,
		Dial:            func(sessions.ProviderRecord) sessions.Provider { return p },
	})
	w.ok(w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "shop", Socket: "/run/shop"}))
	t.Cleanup(func() {
		if err := w.Stop(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return w
}

// A save that the provider is slow to take does not overwrite a later one: the
// customer would get back what was used in between.
func TestSavesStayInOrder(t *testing.T) {
	cafe := &slowSaver{shop: newShop(voucher(10_000)), slow: true, arrived: make(chan uint64, 16), release: make(chan struct{})}
	w := providerWorld(t, cafe)
	d := w.phone(1)
	w.connect(d)
	<-cafe.arrived // of the start, and it hangs
	w.kernel.Download(d.MAC, 1000)
	w.disconnect(d)
	done := make(chan error, 1)
	go func() { _, err := w.Next(w.ctx, d.ID); done <- err }() // delivers the usage before it queries
	select {
	case <-cafe.arrived:
		sessionstest.WaitFor(t, "the later save", func() bool { return cafe.lastSave().Used == 1000 })
	case <-time.After(100 * time.Millisecond): // it waits for the first
	}
	close(cafe.release)
	w.ok(<-done)
	w.ok(w.Stop(w.ctx, false)) // waits for deliveries
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.connect(d)
	if got := w.session(1).RemainingBytes(); got != 9000 {
		t.Errorf("%d bytes remain of 10,000, 1000 were used", got)
	}
}

// The usage of a session is delivered to its provider before the session is deleted.
func TestDeleteDeliversUsage(t *testing.T) {
	for _, running := range []bool{true, false} {
		cafe := newShop(voucher(10_000))
		w := providerWorld(t, cafe)
		d := w.phone(1)
		w.connect(d)
		w.kernel.Download(d.MAC, 1000)
		if !running {
			w.disconnect(d)
		}
		w.ok(w.DeleteSession(w.ctx, 1))
		cafe.set(func(s *shop) {
			if s.data.Used != 1000 {
				t.Errorf("running %v: the provider believes that %d bytes were used, 1000 were", running, s.data.Used)
			}
		})
	}
}

// A session whose usage cannot be delivered is not deleted, until its provider is
// unregistered.
func TestDeleteWaitsForTheProvider(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := providerWorld(t, cafe)
	d := w.phone(1)
	w.connect(d)
	cafe.set(func(s *shop) { s.failing = errBroken })
	w.kernel.Download(d.MAC, 1000)
	w.code(w.DeleteSession(w.ctx, 1), sessions.Unavailable)
	w.state(1, sessions.Running)
	w.passes(d, true)
	w.ok(w.UnregisterProvider(w.ctx, "shop"))
	w.ok(w.DeleteSession(w.ctx, 1))
	w.passes(d, false)
}

// A top-up that the provider reports at the start does not reach the kernel before
// the agent knows what may run.
func TestNothingIsGrantedBeforeJoining(t *testing.T) {
	cafe := newShop(voucher(10_000))
	w := providerWorld(t, cafe)
	d := w.phone(1)
	w.connect(d)
	cafe.set(func(s *shop) { s.failing = errBroken })
	w.kernel.Download(d.MAC, 1000)
	w.checkpoint()
	w.ok(w.Stop(w.ctx, false))
	cafe.set(func(s *shop) { s.failing = nil; s.data.Bytes = 50_000 })
	w.kernel.Detach()
	w.clock.Reboot(time.Minute)
	granted := make(chan struct{}, 1)
	w.kernel.Intercept(func(c sessionstest.Call) error {
		switch c.Op {
		case sessionstest.Grant:
			granted <- struct{}{}
		case sessionstest.Rule:
			select {
			case <-granted:
				t.Error("granted before the rule was read")
			case <-time.After(50 * time.Millisecond):
			}
			w.mend()
		}
		return nil
	})
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.passes(d, false)
	sessionstest.WaitFor(t, "the top-up", func() bool { return w.state(1, sessions.Paused).Bytes == 50_000 })
	if got := w.session(1).Used; got != 1000 {
		t.Errorf("%d bytes used", got)
	}
}

// pausedView is a store whose first View with a marked context is held up after it
// has read.
type pausedView struct {
	sessions.Store
	once    sync.Once
	read    chan struct{}
	proceed chan struct{}
}

type marked struct{}

func (s *pausedView) View(ctx context.Context, fn func(sessions.Tx) error) error {
	err := s.Store.View(ctx, fn)
	if ctx.Value(marked{}) != nil {
		s.once.Do(func() {
			close(s.read)
			<-s.proceed
		})
	}
	return err
}

// A provider that registers while the agent reconciles is asked from then on.
func TestRegisterWhileReconciling(t *testing.T) {
	w := newWorld(t, manager.Config{Dial: func(sessions.ProviderRecord) sessions.Provider { return newShop(voucher(10_000)) }})
	d := w.phone(1)
	store := &pausedView{Store: w.store, read: make(chan struct{}), proceed: make(chan struct{})}
	w.Manager = manager.New(store, w.kernel, w.clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	reconciled, registered := make(chan error, 1), make(chan error, 1)
	go func() { reconciled <- w.Reconcile(context.WithValue(w.ctx, marked{}, true)) }()
	<-store.read
	go func() {
		registered <- w.RegisterProvider(w.ctx, sessions.ProviderRecord{Name: "shop", Socket: "/run/shop"})
	}()
	select {
	case err := <-registered:
		registered <- err
	case <-time.After(100 * time.Millisecond): // it waits for its turn
	}
	close(store.proceed)
	w.ok(<-reconciled)
	w.ok(<-registered)
	if next, err := w.Next(w.ctx, d.ID); err != nil || next.Provider != "shop" {
		t.Errorf("next is %+v, %v", next, err)
	}
	w.ok(w.Stop(w.ctx, false))
}
