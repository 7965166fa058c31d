// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// The kind: a number that a database counts is given again by a copy of it that is put
// back, and by a new one, while the kernel still counts for the former. What it counted for
// a session of another history reaches no other one, in whatever order the histories come.
func TestRestoredDatabaseChargesNoOther(t *testing.T) {
	w := newWorld(t, manager.Config{})
	kept := w.buyData(w.phone(1), 100e6)
	w.connect(w.phone(1))
	copied := w.store.Copy()

	ben := w.phone(2)
	lost := w.buyData(ben, 50e6)
	w.connect(ben)
	w.kernel.Upload(ben.MAC, 10e6)
	w.kernel.Upload(w.phone(1).MAC, 1e6)
	w.disconnect(ben)
	former := w.store

	open := func(store *sessionstest.Store) {
		w.store = store
		w.restart()
		w.ok(w.Reconcile(w.ctx))
	}
	want := func(id sessions.SessionID, used uint64) {
		t.Helper()
		s, err := w.Session(w.ctx, id)
		w.ok(err)
		if s.Used != used {
			t.Errorf("session %d is charged %d bytes, want %d", id, s.Used, used)
		}
	}
	for range 2 { // restored, and restored again
		open(copied.Copy())
		want(kept.ID, 1e6) // it is the same purchase
		cara := w.phone(3)
		bought := w.buyData(cara, 5e6)
		if bought.ID != lost.ID {
			t.Fatalf("session %d was given, want %d again: else the test shows nothing", bought.ID, lost.ID)
		}
		w.connect(cara)
		want(bought.ID, 0)
		w.kernel.Upload(cara.MAC, 2e6)
		w.checkpoint()
		w.checkpoint()
		want(bought.ID, 2e6)
	}
	open(former.Copy()) // and back to the history before
	want(lost.ID, 10e6)
	w.connect(ben)
	w.checkpoint()
	w.checkpoint()
	want(lost.ID, 10e6)

	open(sessionstest.NewStore()) // a new card in the router
	dan := w.phone(4)
	first := w.buyData(dan, 5e6)
	w.connect(dan)
	w.checkpoint()
	want(first.ID, 0)
}

// An account of another history is removed, and so is the rule that names it.
func TestRestoredDatabaseLeavesNoAccount(t *testing.T) {
	w := newWorld(t, manager.Config{})
	copied := w.store.Copy()
	ben := w.phone(2)
	lost := w.buyData(ben, 50e6)
	w.connect(ben)
	w.store = copied
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	if rule := w.kernel.Rule(ben.MAC); rule.Verdict != 0 {
		t.Errorf("the device of a lost database still has %+v", rule)
	}
	w.clock.Advance(time.Second)
	w.checkpoint()
	if _, err := w.kernel.Read(lost.Account()); err == nil {
		t.Error("the account of a session of a lost database is still there")
	}
}
