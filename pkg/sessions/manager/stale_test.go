// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// interruptedClock calls a function once, at a reading to come.
type interruptedClock struct {
	sessions.Clock
	wait int // readings before; for one goroutine
	next func()
}

func (c *interruptedClock) Now() time.Time {
	if fn := c.next; fn != nil {
		if c.wait--; c.wait < 0 {
			c.next = nil
			fn()
		}
	}
	return c.Clock.Now()
}

// TestEndOfAMovedSession: the kernel reports the end of a session that another device
// runs by now. What the first device runs instead is not granted without its lock.
func TestEndOfAMovedSession(t *testing.T) {
	w := newWorld(t, manager.Config{})
	clock := &interruptedClock{Clock: w.clock}
	w.Manager = manager.New(w.store, w.kernel, clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	first, second := w.phone(1), w.phone(2)
	s := w.buyData(first, 3000)
	w.connect(first)
	w.kernel.Fill(first.MAC)
	clock.next = func() {
		_, err := w.MoveSession(w.ctx, s.ID, second.ID)
		w.ok(err)
		w.buyTime(first, time.Hour)
		w.connect(first)
		var once atomic.Bool
		w.kernel.Intercept(func(c sessionstest.Call) error {
			if c.Op == sessionstest.Grant && once.CompareAndSwap(false, true) {
				w.disconnect(first)
			}
			return nil
		})
	}
	w.ok(w.Ended(w.ctx, dataplane.Event{Kind: dataplane.Exhausted, MAC: first.MAC, Account: s.Account()}))
	w.kernel.Intercept(nil)
	w.disconnect(first)
	w.passes(first, false)
}

// TestReadingOfAFormerAccount: a session is paused, its account removed, and it is started
// again, all between a reading and the transaction that debits it. The bytes were debited at
// the pause.
func TestReadingOfAFormerAccount(t *testing.T) {
	w := newWorld(t, manager.Config{})
	clock := &interruptedClock{Clock: w.clock}
	w.Manager = manager.New(w.store, w.kernel, clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 3000)
	clock.wait, clock.next = 1, func() {
		w.disconnect(d)
		w.clock.Advance(time.Second)
		w.checkpoint()
		if _, err := w.kernel.Read(s.Account()); !errors.Is(err, dataplane.ErrNoAccount) {
			t.Errorf("the account is still there: %v", err)
		}
		w.connect(d)
	}
	w.ok(w.Ended(w.ctx, dataplane.Event{Kind: dataplane.DeadlinePassed, MAC: d.MAC, Account: s.Account()}))
	if clock.next != nil {
		t.Fatal("nothing came in between")
	}
	if used := w.session(s.ID).Used; used != 3000 {
		t.Errorf("%d bytes used, want 3000", used)
	}
}

// slowStore takes a while for a transaction, or for the disk.
type slowStore struct {
	sessions.Store
	commit, sync func()
}

func (s *slowStore) Commit(ctx context.Context, fn func(sessions.Tx) error) error {
	s.commit()
	return s.Store.Commit(ctx, fn)
}

func (s *slowStore) Sync() error {
	s.sync()
	return s.Store.Sync()
}

func slowWorld(t *testing.T, w *world) (commits, syncs *atomic.Int64) {
	t.Helper()
	commits, syncs = new(atomic.Int64), new(atomic.Int64)
	wait := func(by *atomic.Int64) func() {
		return func() { w.clock.Advance(time.Duration(by.Load())) }
	}
	w.Manager = manager.New(&slowStore{w.store, wait(commits), wait(syncs)}, w.kernel, w.clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	return commits, syncs
}

// TestWaitForATransactionIsNotCharged: the next session starts when it is stored, not
// before.
func TestWaitForATransactionIsNotCharged(t *testing.T) {
	w := newWorld(t, manager.Config{})
	commits, _ := slowWorld(t, w)
	d := w.phone(1)
	s := w.buyData(d, 3000)
	w.buyTime(d, time.Hour)
	w.connect(d)
	w.kernel.Fill(d.MAC)
	commits.Store(int64(10 * time.Second))
	w.ok(w.Ended(w.ctx, dataplane.Event{Kind: dataplane.Exhausted, MAC: d.MAC, Account: s.Account()}))
	commits.Store(0)
	if left := w.kernel.Rule(d.MAC).Deadline.Sub(w.clock.Boot()); left != time.Hour {
		t.Errorf("%s are left of an hour that starts now", left)
	}
}

// TestWaitForTheDiskIsNotCharged: what a provider offers is on the disk before it starts.
func TestWaitForTheDiskIsNotCharged(t *testing.T) {
	data := voucher(0)
	data.Type, data.Time, data.Bytes = sessions.Time, time.Hour, 0
	w := shopWorld(t, map[string]*shop{"a": newShop(data)}, "a")
	_, syncs := slowWorld(t, w)
	d := w.phone(1)
	var granted dataplane.Boottime
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Grant {
			granted = w.clock.Boot()
		}
		return nil
	})
	syncs.Store(int64(10 * time.Second))
	_, err := w.Connect(w.ctx, d.ID, "")
	syncs.Store(0)
	w.kernel.Intercept(nil)
	w.ok(err)
	if left := w.kernel.Rule(d.MAC).Deadline.Sub(granted); left != time.Hour {
		t.Errorf("%s are left of an hour that starts now", left)
	}
}
