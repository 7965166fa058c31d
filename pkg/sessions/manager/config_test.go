// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"maps"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// An agent that starts with another configuration enforces that one on connected
// devices, without a break.
func TestRunningSessionsFollowTheConfiguration(t *testing.T) {
	w := newWorld(t, manager.Config{
		GlobalDownBPS: 5_000_000, GlobalUpBPS: 1_000_000,
		Trusted: []dataplane.MAC{mac(8)}, Blocked: []dataplane.MAC{mac(9)},
	})
	global, own := w.phone(1), w.phone(2)
	w.buy(sessions.SessionSpec{Device: global.ID, Type: sessions.Time, Time: time.Hour, UseGlobalSpeed: true})
	w.buy(sessions.SessionSpec{Device: own.ID, Type: sessions.Time, Time: time.Hour, DownBPS: 7_000_000})
	w.connect(global)
	w.connect(own)
	w.cfg = manager.Config{GlobalDownBPS: 2_000_000}
	mark := w.mark()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	rules := maps.Collect(w.kernel.Rules())
	if r := rules[global.MAC]; r.DownBPS != 2_000_000 || r.UpBPS != 0 {
		t.Errorf("the global speed is %d down, %d up", r.DownBPS, r.UpBPS)
	}
	if r := rules[own.MAC]; r.DownBPS != 7_000_000 {
		t.Errorf("its own speed is %d down", r.DownBPS)
	}
	if len(rules) != 2 {
		t.Errorf("neither trusted nor blocked any more: %+v", rules)
	}
	w.happened(mark)
	w.passes(global, true)
}

// Stopping with disconnect takes many devices in one transaction: one for each would
// outlast what a service manager waits.
func TestStopDisconnectsAllAtOnce(t *testing.T) {
	w := newWorld(t, manager.Config{})
	phones := w.crowd(8)
	var commits int
	w.store.BeforeCommit(func() error { commits++; return nil })
	mark := w.mark()
	w.ok(w.Stop(w.ctx, true))
	if commits != 1 {
		t.Errorf("%d transactions", commits)
	}
	if got := len(w.events(mark)); got != 2*len(phones) {
		t.Errorf("%d events", got)
	}
	for _, s := range phones {
		if got := w.stored(s.ID); got.State != sessions.Paused || got.Used != 100*uint64(s.ID) {
			t.Errorf("%+v", got)
		}
	}
}

// A stop that leaves customers connected writes no row for each, only the marks. They
// are enough, also where the kernel is emptied before the next start.
func TestStopWritesMarks(t *testing.T) {
	w := newWorld(t, manager.Config{})
	phones := w.crowd(8)
	var writes int
	w.store.BeforeCommit(func() error { writes++; return nil })
	w.ok(w.Stop(w.ctx, false))
	if writes != 1 {
		t.Errorf("%d writes", writes)
	}
	w.store.BeforeCommit(nil)
	w.kernel.Detach()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	for _, s := range phones {
		if got := w.state(s.ID, sessions.Running); got.Used != 100*uint64(s.ID) {
			t.Errorf("%d bytes of session %d are debited, %d passed", got.Used, s.ID, 100*s.ID)
		}
	}
}

// crowd connects phones, each of which has downloaded 100 bytes times its session's id.
func (w *world) crowd(phones int) []sessions.Session {
	w.Helper()
	var bought []sessions.Session
	for n := 1; n <= phones; n++ {
		d := w.phone(n)
		s := w.buyData(d, 1e6)
		w.connect(d)
		for range s.ID {
			w.passes(d, true)
		}
		bought = append(bought, s)
	}
	return bought
}
