// SPDX-License-Identifier: Apache-2.0

package sessions_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// An agent that starts with another configuration enforces that one on who is
// connected, without a break.
func TestRunningSessionsFollowTheConfiguration(t *testing.T) {
	w := newWorld(t, sessions.Config{
		GlobalDownBPS: 5_000_000, GlobalUpBPS: 1_000_000,
		Trusted: []dataplane.MAC{mac(8)}, Blocked: []dataplane.MAC{mac(9)},
	})
	global, own := w.phone(1), w.phone(2)
	w.buy(sessions.SessionSpec{Device: global.ID, Type: sessions.Time, Time: time.Hour, UseGlobalSpeed: true, DownBPS: 1000})
	w.buy(sessions.SessionSpec{Device: own.ID, Type: sessions.Time, Time: time.Hour, DownBPS: 7_000_000})
	w.connect(global)
	w.connect(own)
	w.cfg = sessions.Config{GlobalDownBPS: 2_000_000}
	mark := w.mark()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	rules, err := w.kernel.Rules()
	w.ok(err)
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

// Stopping with disconnect takes all devices at once: a grace period of the kernel
// for each, one after the other, would outlast what a service manager waits.
func TestStopDisconnectsAllAtOnce(t *testing.T) {
	w := newWorld(t, sessions.Config{})
	const phones = 8
	for n := 1; n <= phones; n++ {
		d := w.phone(n)
		w.buyTime(d, time.Hour)
		w.connect(d)
	}
	var arrived atomic.Int32
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Revoke {
			arrived.Add(1)
			sessionstest.WaitFor(t, "all to be revoked at once", func() bool { return arrived.Load() == phones })
		}
		return nil
	})
	mark := w.mark()
	w.ok(w.Stop(w.ctx, true))
	if got := len(w.events(mark)); got != 2*phones {
		t.Errorf("%d events", got)
	}
}
