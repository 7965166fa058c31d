// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

func (w *world) claim(code string, to sessions.Device) (sessions.Session, error) {
	return w.Claim(w.ctx, code, func() (sessions.DeviceID, error) { return to.ID, nil })
}

// The customer's phone has a new MAC, which the portal knows as another device.
func TestClaim(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s := w.sell(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: 10_000})
	w.connect(d)
	w.kernel.Download(mac(1), 1000)
	mark := w.mark()
	typed := strings.ToLower(strings.ReplaceAll(s.Claim, "-", " "))
	moved, err := w.claim(typed, other)
	w.ok(err)
	if moved.Device != other.ID || moved.State != sessions.Running {
		t.Errorf("claimed %+v", moved)
	}
	w.happened(mark, "session.updated(claimed)", "client.disconnected(claimed)", "client.connected")
	w.passes(d, false)
	status, err := w.Status(w.ctx, d.ID)
	w.ok(err)
	if status.Connected {
		t.Error("the old device is connected still")
	}
	w.kernel.Download(mac(2), 500)
	w.restart()
	w.ok(w.Reconcile(w.ctx))

	// The code is good for the way back.
	_, err = w.claim(s.Claim, d)
	w.ok(err)
	w.passes(other, false)
	passed := w.kernel.Fill(mac(1))
	w.drain()
	if got := w.state(s.ID, sessions.Consumed); got.Used != 1500+passed || got.Used > 10_000 {
		t.Errorf("%d bytes used, %d passed", got.Used, 1500+passed)
	}
}

func TestClaimOfWhatDoesNotRun(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s := w.sell(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour})
	rest := w.buyTime(d, time.Hour)
	mark := w.mark()
	for range 2 { // the second changes nothing
		_, err := w.claim(s.Claim, other)
		w.ok(err)
	}
	w.happened(mark, "session.updated(claimed)")
	w.connect(other)
	w.state(s.ID, sessions.Running)
	if got := w.session(rest.ID); got.Device != d.ID {
		t.Errorf("another purchase went to device %d", got.Device)
	}
}

// Where something runs already, what comes is paused with its balance.
func TestMoveToADeviceThatRuns(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s, running := w.buyData(d, 10_000), w.buyTime(other, time.Hour)
	w.connect(d)
	w.connect(other)
	w.kernel.Download(mac(1), 1000)
	mark := w.mark()
	_, err := w.MoveSession(w.ctx, s.ID, other.ID)
	w.ok(err)
	w.happened(mark, "session.paused(moved)", "client.disconnected(moved)", "session.updated(moved)")
	if got := w.state(s.ID, sessions.Paused); got.Device != other.ID || got.Used != 1000 {
		t.Errorf("moved %+v", got)
	}
	w.state(running.ID, sessions.Running)
	w.passes(d, false)
	w.passes(other, true)
}

func TestWrongClaims(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s := w.sell(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour})
	for range 30 {
		_, err := w.claim("0000-0000-0000", other)
		w.code(err, sessions.NotFound)
	}
	_, err := w.claim("0000-0000-0000", other)
	w.code(err, sessions.Unavailable)
	_, err = w.claim(s.Claim, other)
	w.code(err, sessions.Unavailable) // a guesser learns nothing of a right one
	w.clock.Advance(time.Second)
	_, err = w.claim(s.Claim, other)
	w.ok(err)

	w.ok(w.RevokeClaim(w.ctx, s.ID))
	w.code(w.RevokeClaim(w.ctx, s.ID), sessions.NotFound)
	_, err = w.claim(s.Claim, d)
	w.code(err, sessions.NotFound)
}

// A move that is refused, or cannot be stored, changes nothing.
func TestMoveSessionIsRefused(t *testing.T) {
	w := newWorld(t, manager.Config{Blocked: []dataplane.MAC{mac(8)}})
	d, other, blocked := w.phone(1), w.phone(2), w.phone(8)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	mark := w.mark()
	w.kernel.SetMax(2) // the blocked one and this one
	_, err := w.MoveSession(w.ctx, s.ID, other.ID)
	w.code(err, sessions.Full)
	_, err = w.MoveSession(w.ctx, s.ID, blocked.ID)
	w.code(err, sessions.Forbidden)
	_, err = w.MoveSession(w.ctx, s.ID, 99)
	w.code(err, sessions.NotFound)
	w.kernel.SetMax(10)
	full := errors.New("the disk is full")
	w.store.BeforeCommit(func() error { return full })
	if _, err := w.MoveSession(w.ctx, s.ID, other.ID); !errors.Is(err, full) {
		t.Errorf("MoveSession: %v", err)
	}
	w.store.BeforeCommit(nil)
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Revoke && c.MAC == mac(1) {
			return full
		}
		return nil
	})
	_, err = w.MoveSession(w.ctx, s.ID, other.ID)
	w.code(err, sessions.Unavailable)
	w.kernel.Intercept(nil)
	w.happened(mark)
	w.passes(d, true)
	w.passes(other, false)
	w.state(s.ID, sessions.Running)
}

// A move that cannot be stored ends no session: neither the one that was to move, nor the
// one that runs on the other device.
func TestFailedMoveToADeviceThatRuns(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s, running := w.buyData(d, 10_000), w.buyTime(other, time.Hour)
	w.connect(d)
	w.connect(other)
	w.store.BeforeCommit(func() error { return errBroken })
	if _, err := w.MoveSession(w.ctx, s.ID, other.ID); !errors.Is(err, errBroken) {
		t.Errorf("MoveSession: %v", err)
	}
	w.store.BeforeCommit(nil)
	w.state(s.ID, sessions.Running)
	w.state(running.ID, sessions.Running)
	w.passes(d, true)
	w.passes(other, true)
}

// unsynced is a store whose disk takes nothing any more.
type unsynced struct{ *sessionstest.Store }

func (unsynced) Sync() error { return errBroken }

// What was committed holds in the kernel, also when the disk fails afterwards.
func TestMoveThatIsNotOnTheDisk(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, other := w.phone(1), w.phone(2)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.Manager = manager.New(unsynced{w.store}, w.kernel, w.clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	if _, err := w.MoveSession(w.ctx, s.ID, other.ID); !errors.Is(err, errBroken) {
		t.Errorf("MoveSession: %v", err)
	}
	if got := w.state(s.ID, sessions.Running); got.Device != other.ID {
		t.Errorf("it runs on device %d", got.Device)
	}
	w.passes(d, false)
	w.passes(other, true)
}

// What is stored of the device while a session moves to it stays.
func TestMoveKeepsWhatIsStoredMeanwhile(t *testing.T) {
	w := newWorld(t, manager.Config{Bind: sessions.BindIP})
	d, other := w.phone(1), w.phone(2)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Grant && c.MAC == mac(2) {
			_, err := w.Observe(w.ctx, mac(2), netip.MustParseAddr("10.0.0.9"), "tablet")
			return err
		}
		return nil
	})
	_, err := w.MoveSession(w.ctx, s.ID, other.ID)
	w.ok(err)
	w.mend()
	got, err := w.Device(w.ctx, other.ID)
	w.ok(err)
	if got.Hostname != "tablet" || len(got.IPs) != 1 {
		t.Errorf("the device is %+v", got)
	}
}

// Where a device is matters only when it is connected by the move.
func TestMoveOfWhatDoesNotRunAsksForNoAddress(t *testing.T) {
	asked := 0
	w := newWorld(t, manager.Config{Bind: sessions.BindIP, Locate: func(dataplane.MAC) ([]dataplane.Neighbor, error) {
		asked++
		return nil, nil
	}})
	d, other := w.phone(1), w.phone(2)
	s := w.buyTime(d, time.Hour)
	_, err := w.MoveSession(w.ctx, s.ID, other.ID)
	w.ok(err)
	if asked != 0 {
		t.Errorf("the neighbour table was asked %d times", asked)
	}
}
