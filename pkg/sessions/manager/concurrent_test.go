// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// Everything at once on a few devices, with a meter beside it: no byte is lost,
// no device passes without a session, and nothing waits for ever.
func TestEverythingAtOnce(t *testing.T) {
	w := newWorld(t, manager.Config{LowBalancePercent: 10})
	const phones, rounds = 6, 60
	var bought [phones]uint64
	var mu sync.Mutex
	for n := range phones {
		w.phone(n + 1)
	}
	stop := make(chan struct{})
	var meter sync.WaitGroup
	meter.Go(func() { w.meter(stop) })
	var group sync.WaitGroup
	for n := range 2 * phones { // two for each device
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			id := sessions.DeviceID(n%phones + 1)
			for range rounds {
				w.anything(t, random, id, func(bytes uint64) {
					mu.Lock()
					defer mu.Unlock()
					bought[id-1] += bytes
				})
			}
		})
	}
	group.Wait()
	close(stop)
	meter.Wait()
	for range 4 {
		w.clock.Advance(2 * time.Second)
		w.checkpoint()
	}
	w.balance(t, bought[:])
}

func (w *world) meter(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case e := <-w.kernel.Events():
			if err := w.Ended(w.ctx, e); err != nil {
				w.Errorf("Ended: %v", err)
			}
		default:
			if err := w.Settle(w.ctx, slices.Chunk(w.kernel.Readings(), 2)); err != nil {
				w.Errorf("Settle: %v", err)
			}
			w.clock.Advance(100 * time.Millisecond)
		}
	}
}

// anything does one thing to a device.
func (w *world) anything(t *testing.T, random *rand.Rand, id sessions.DeviceID, bought func(uint64)) {
	t.Helper()
	var err error
	switch random.IntN(6) {
	case 0:
		_, err = w.Connect(w.ctx, id, "")
	case 1:
		_, err = w.Disconnect(w.ctx, id, "")
	case 2:
		if _, err = w.CreateSession(w.ctx, sessions.SessionSpec{Device: id, Type: sessions.Data, Bytes: 20_000}); err == nil {
			bought(20_000)
		}
	case 3:
		for range 10 {
			w.kernel.Download(mac(byte(id)), 1200)
		}
	case 4:
		_, err = w.Status(w.ctx, id)
	case 5:
		var s sessions.Session
		if s, err = w.Current(w.ctx, id); err == nil {
			if _, err = w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddBytes: ptr(uint64(5000))}); err == nil {
				bought(5000)
			}
		}
	}
	if code := sessions.CodeOf(err); err != nil && code != sessions.NoSession && code != sessions.NotConnected {
		t.Errorf("device %d: %v", id, err)
	}
}

// balance compares what the devices bought and used with the kernel.
func (w *world) balance(t *testing.T, bought []uint64) {
	t.Helper()
	rules := maps.Collect(w.kernel.Rules())
	running := 0
	for i, want := range bought {
		list, err := w.Sessions(w.ctx, sessions.SessionFilter{Device: sessions.DeviceID(i + 1)})
		w.ok(err)
		var got uint64
		for _, s := range list {
			got += s.Bytes
			if s.Used > s.Bytes {
				t.Errorf("session %d used %d of %d bytes", s.ID, s.Used, s.Bytes)
			}
			if s.State == sessions.Running {
				running++
				if rules[mac(byte(i+1))].Account != s.Account() {
					t.Errorf("session %d runs, the kernel has %+v", s.ID, rules[mac(byte(i+1))])
				}
			}
		}
		if got != want {
			t.Errorf("device %d has %d bytes, bought %d", i+1, got, want)
		}
	}
	if len(rules) != running {
		t.Errorf("%d rules for %d running sessions", len(rules), running)
	}
}

// One device's kernel call that hangs holds up no other device.
func TestDevicesDoNotWaitForEachOther(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	w.buyTime(a, time.Hour)
	w.buyTime(b, time.Hour)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Grant && c.MAC == a.MAC {
			once.Do(func() { close(entered) })
			<-release
		}
		return nil
	})
	done := make(chan error)
	go func() { _, err := w.Connect(w.ctx, a.ID, ""); done <- err }()
	<-entered
	w.connect(b)
	w.disconnect(b)
	close(release)
	w.ok(<-done)
	w.passes(a, true)
}

func TestTwoConnectsAtOnce(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.buyTime(d, time.Hour)
	w.buyTime(d, time.Hour)
	mark := w.mark()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := w.Connect(w.ctx, d.ID, ""); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.happened(mark, "session.started", "client.connected")
}

func TestSubscription(t *testing.T) {
	w := newWorld(t, manager.Config{})
	w.phone(1)
	w.phone(2)
	sub := w.Subscribe(1)
	defer sub.Close()
	next := func(want sessions.DeviceID) {
		t.Helper()
		e, err := sub.Next(w.ctx)
		w.ok(err)
		if e.Device != want || e.Seq != int64(want) || e.Type != sessions.DeviceCreated {
			t.Errorf("got %+v, want device %d", e, want)
		}
	}
	next(2) // stored before
	slow := w.Subscribe(0)
	defer slow.Close()
	go func() {
		for n := range 300 {
			if _, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac2(n)}); err != nil {
				t.Error(err)
			}
		}
	}()
	for n := range 300 {
		next(sessions.DeviceID(n + 3))
	}
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with an ended context: %v", err)
	}
	go sub.Close()
	if _, err := sub.Next(w.ctx); !errors.Is(err, manager.ErrClosed) {
		t.Errorf("Next of a closed subscription: %v", err)
	}
	for n := range 302 { // it was slow, and lost nothing
		if e, err := slow.Next(w.ctx); err != nil || e.Seq != int64(n+1) {
			t.Fatalf("the slow one got %+v, %v", e, err)
		}
	}
}

func mac2(n int) string {
	m := mac(byte(n))
	m[4], m[3] = byte(n>>8), 0x20
	return m.String()
}

func TestRates(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.buyTime(d, time.Hour)
	w.connect(d)
	speeds := func() (uint64, uint64) {
		status, err := w.Status(w.ctx, d.ID)
		w.ok(err)
		return status.Traffic.UpBPS, status.Traffic.DownBPS
	}
	speeds()
	w.kernel.Download(d.MAC, 125_000)
	w.kernel.Upload(d.MAC, 12_500)
	w.clock.Advance(100 * time.Millisecond)
	if up, down := speeds(); up != 0 || down != 0 {
		t.Errorf("after 100 ms: %d up, %d down", up, down)
	}
	w.clock.Advance(900 * time.Millisecond)
	if up, down := speeds(); up != 100_000 || down != 1_000_000 {
		t.Errorf("after a second: %d up, %d down", up, down)
	}
	w.clock.Advance(time.Second)
	if up, down := speeds(); up != 0 || down != 0 {
		t.Errorf("after a second of silence: %d up, %d down", up, down)
	}
}

// A rate is of the time since the last checkpoint at the most, also in the
// first answer.
func TestRatesWithoutAnAudience(t *testing.T) {
	w := newWorld(t, manager.Config{Checkpoint: 10 * time.Second})
	d := w.phone(1)
	w.buyTime(d, time.Hour)
	w.connect(d)
	for _, bytes := range []uint64{50_000_000, 1_250_000} {
		w.clock.Advance(10 * time.Second)
		w.kernel.Download(d.MAC, bytes)
		w.checkpoint()
	}
	w.clock.Advance(time.Second)
	w.kernel.Download(d.MAC, 250_000)
	status, err := w.Status(w.ctx, d.ID)
	w.ok(err)
	if status.Traffic.DownBPS != 2_000_000 {
		t.Errorf("%d bit/s down, want those of the last second, 2,000,000", status.Traffic.DownBPS)
	}
	w.clock.Advance(time.Minute)
	status, err = w.Status(w.ctx, d.ID)
	w.ok(err)
	if status.Traffic.DownBPS != 0 {
		t.Errorf("%d bit/s down after a minute without a checkpoint", status.Traffic.DownBPS)
	}
}

func TestWake(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	woken := func() bool {
		select {
		case <-w.Wake():
			return true
		default:
			return false
		}
	}
	s := w.buyTime(d, time.Hour)
	woken()
	w.connect(d)
	if !woken() {
		t.Error("a Connect does not wake")
	}
	for _, left := range []time.Duration{2 * time.Hour, time.Minute} {
		_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{Time: &left})
		w.ok(err)
		w.dueAtEnd(w.clock.Boot().Add(left))
		if earlier := left < time.Hour; woken() != earlier {
			t.Errorf("a change to %s wakes: %v, want %v", left, !earlier, earlier)
		}
	}
}
