// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// countingStore counts transactions.
type countingStore struct {
	sessions.Store
	reads, writes atomic.Int32
}

func (s *countingStore) View(ctx context.Context, fn func(sessions.Tx) error) error {
	s.reads.Add(1)
	return s.Store.View(ctx, fn)
}

func (s *countingStore) Commit(ctx context.Context, fn func(sessions.Tx) error) error {
	s.writes.Add(1)
	return s.Store.Commit(ctx, fn)
}

// countingClock counts readings of the wall clock.
type countingClock struct {
	sessions.Clock
	reads atomic.Int32
}

func (c *countingClock) Now() time.Time {
	c.reads.Add(1)
	return c.Clock.Now()
}

func TestCostOfAnEnd(t *testing.T) {
	for name, next := range map[string]bool{"the next one starts": true, "nothing is left": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, manager.Config{})
			store := &countingStore{Store: w.store}
			w.Manager = manager.New(store, w.kernel, w.clock, w.cfg)
			w.ok(w.Reconcile(w.ctx))
			d := w.phone(1)
			s := w.buyData(d, 3000)
			if next {
				w.buyData(d, 3000)
			}
			w.connect(d)
			w.kernel.Fill(d.MAC)
			store.reads.Store(0)
			store.writes.Store(0)
			w.ok(w.Ended(w.ctx, dataplane.Event{Kind: dataplane.Exhausted, MAC: d.MAC, Account: s.Account()}))
			if reads, writes := store.reads.Load(), store.writes.Load(); reads != 1 || writes != 1 {
				t.Errorf("%d read and %d write transactions, want one of each", reads, writes)
			}
			w.state(s.ID, sessions.Consumed)
			if passes := w.kernel.Download(d.MAC, 100); passes != next {
				t.Errorf("a packet passes: %t, want %t", passes, next)
			}
		})
	}
}

func TestConnectReadsTheClocksOnce(t *testing.T) {
	w := newWorld(t, manager.Config{})
	clock := &countingClock{Clock: w.clock}
	w.Manager = manager.New(w.store, w.kernel, clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	d := w.phone(1)
	w.buyTime(d, time.Hour)
	clock.reads.Store(0)
	w.connect(d)
	if n := clock.reads.Load(); n != 1 {
		t.Errorf("Connect read the clocks %d times, want once", n)
	}
}
