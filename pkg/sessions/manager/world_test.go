// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// failer is what both testing.TB and rapid.T are.
type failer interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// world is a Manager with a kernel, a clock and a store of its own.
type world struct {
	failer
	ctx    context.Context
	store  *sessionstest.Store
	kernel *sessionstest.Kernel
	clock  *sessionstest.Clock
	cfg    manager.Config
	*manager.Manager
}

func newWorld(t failer, cfg manager.Config) *world {
	t.Helper()
	clock := sessionstest.NewClock()
	w := &world{
		failer: t, ctx: context.Background(), clock: clock,
		store: sessionstest.NewStore(), kernel: sessionstest.NewKernel(clock), cfg: cfg,
	}
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	return w
}

// restart puts a new agent on the store and the kernel that are there. Opening a
// store syncs what was committed before.
func (w *world) restart() {
	w.Helper()
	w.ok(w.store.Sync())
	w.Manager = manager.New(w.store, w.kernel, w.clock, w.cfg)
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
}

func (w *world) code(err error, want sessions.Code) {
	w.Helper()
	if err == nil || sessions.CodeOf(err) != want {
		w.Fatalf("got error %v, want one of code %q", err, want)
	}
}

// phone registers the n-th device.
func (w *world) phone(n int) sessions.Device {
	w.Helper()
	d, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: fmt.Sprintf("02:00:5e:10:00:%02x", n)})
	w.ok(err)
	return d
}

func (w *world) buy(spec sessions.SessionSpec) sessions.Session {
	w.Helper()
	return w.sell(spec).Session
}

func (w *world) sell(spec sessions.SessionSpec) sessions.Purchase {
	w.Helper()
	p, err := w.CreateSession(w.ctx, spec)
	w.ok(err)
	return p
}

func (w *world) buyTime(d sessions.Device, t time.Duration) sessions.Session {
	w.Helper()
	return w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: t})
}

func (w *world) buyData(d sessions.Device, bytes uint64) sessions.Session {
	w.Helper()
	return w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: bytes})
}

func (w *world) connect(d sessions.Device) {
	w.Helper()
	status, err := w.Connect(w.ctx, d.ID, "hello")
	w.ok(err)
	if !status.Connected {
		w.Fatalf("Connect succeeded, but the device is not connected")
	}
}

func (w *world) disconnect(d sessions.Device) {
	w.Helper()
	status, err := w.Disconnect(w.ctx, d.ID, "bye")
	w.ok(err)
	if status.Connected {
		w.Fatalf("Disconnect succeeded, but the device is connected")
	}
}

// checkpoint is what the meter does.
func (w *world) checkpoint() {
	w.Helper()
	readings := w.kernel.Readings()
	w.ok(w.Settle(w.ctx, slices.Chunk(readings, 2)))
}

// drain hands the kernel's events to the Manager, as the meter does.
func (w *world) drain() {
	w.Helper()
	for {
		select {
		case e := <-w.kernel.Events():
			w.ok(w.Ended(w.ctx, e))
		default:
			return
		}
	}
}

func (w *world) session(id sessions.SessionID) sessions.Session {
	w.Helper()
	s, err := w.Session(w.ctx, id)
	w.ok(err)
	return s
}

// stored is a session as it is on the disk.
func (w *world) stored(id sessions.SessionID) sessions.Session {
	w.Helper()
	var s sessions.Session
	w.ok(w.store.View(w.ctx, func(tx sessions.Tx) error {
		var err error
		s, err = tx.Session(id)
		return err
	}))
	return s
}

func (w *world) state(id sessions.SessionID, want sessions.State) sessions.Session {
	w.Helper()
	s := w.session(id)
	if s.State != want {
		w.Fatalf("session %d is %s, want %s: %+v", id, s.State, want, s)
	}
	return s
}

// dueAtEnd checks that the meter wakes for the end of a session, or just before, when
// it may hand over to the next.
func (w *world) dueAtEnd(end dataplane.Boottime) {
	w.Helper()
	if due, ok := w.Due(); !ok || due > end || due < end.Add(-50*time.Millisecond) {
		w.Fatalf("due %d, want %d or just before", due, end)
	}
}

// passes sends a packet both ways.
func (w *world) passes(d sessions.Device, want bool) {
	w.Helper()
	d, err := w.Device(w.ctx, d.ID)
	w.ok(err)
	if down := w.kernel.Download(d.MAC, 100); down != want {
		w.Fatalf("a packet to device %d passes: %v, want %v", d.ID, down, want)
	}
}

// events returns what happened after a number, as type(reason).
func (w *world) events(after int64) []string {
	w.Helper()
	list, err := w.Events(w.ctx, after, 0)
	w.ok(err)
	var names []string
	for _, e := range list {
		name := string(e.Type)
		if e.Reason != "" {
			name += "(" + e.Reason + ")"
		}
		names = append(names, name)
	}
	return names
}

func (w *world) mark() int64 {
	w.Helper()
	sum, err := w.Summary(w.ctx)
	w.ok(err)
	return sum.LastSeq
}

func (w *world) happened(after int64, want ...string) {
	w.Helper()
	if got := w.events(after); !slices.Equal(got, want) {
		w.Fatalf("events\n  %s\nwant\n  %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func mac(n byte) dataplane.MAC { return dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, n} }

func ptr[T any](v T) *T { return &v }

var _ failer = (*testing.T)(nil)
