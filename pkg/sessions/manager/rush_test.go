// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// Subscribers that never look hold up no transaction, and cost no more however much happens.
func TestSubscribersThatNeverRead(t *testing.T) {
	const subscribers, mostBytes = 1000, 2048
	w := newWorld(t, manager.Config{})
	before := heap()
	for range subscribers {
		defer w.Subscribe(0).Close()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 300 {
			if _, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac2(n)}); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("transactions wait for subscribers")
	}
	if grown := int64(heap()) - int64(before); grown > subscribers*mostBytes {
		t.Errorf("%d subscribers and 300 events take %d bytes", subscribers, grown)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// rush is a hotspot whose customers are all connected, each with a second session in
// reserve.
func rush(t *testing.T, cfg manager.Config) (w *world, devices []sessions.Device, running []sessions.SessionID) {
	const customers = 20
	w = newWorld(t, cfg)
	for n := range customers {
		d := w.phone(n + 1)
		running = append(running, w.buyTime(d, time.Hour).ID)
		w.buyTime(d, time.Hour)
		w.connect(d)
		devices = append(devices, d)
	}
	w.clock.Advance(time.Minute)
	w.checkpoint()
	w.kernel.Detach()
	w.clock.Reboot(time.Minute)
	w.restart()
	return w, devices, running
}

// After a reboot that all sessions survive, denials come first, and then every
// device is let through, in order and once; what the portal asks meanwhile changes nothing.
func TestAllResumeInOrder(t *testing.T) {
	blocked := mac(99)
	w, devices, running := rush(t, manager.Config{ResumeAfterReboot: true, Blocked: []dataplane.MAC{blocked}})
	var granted []dataplane.MAC
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Grant {
			granted = append(granted, c.MAC)
		}
		return nil
	})
	mark := w.mark()
	w.ok(w.Reconcile(w.ctx))
	w.kernel.Intercept(nil)
	want := []dataplane.MAC{blocked}
	for _, d := range devices {
		want = append(want, d.MAC)
	}
	if !slices.Equal(granted, want) {
		t.Errorf("granted %v, want %v", granted, want)
	}
	for i, d := range slices.Backward(devices) {
		w.connect(d)
		w.state(running[i], sessions.Running)
		w.state(running[i]+1, sessions.Available)
		w.passes(d, true)
	}
	w.happened(mark)
}

// After a reboot that pauses all, a device that connects resumes the session that it had
// started.
func TestAllConnectAgain(t *testing.T) {
	w, devices, running := rush(t, manager.Config{})
	w.ok(w.Reconcile(w.ctx))
	for i, d := range slices.Backward(devices) {
		w.state(running[i], sessions.Paused)
		w.connect(d)
		w.state(running[i], sessions.Running)
		w.state(running[i]+1, sessions.Available)
	}
}

// When the kernel has room for some devices only, they are the same ones each time.
func TestResumeOrderWithoutRoom(t *testing.T) {
	w, devices, _ := rush(t, manager.Config{ResumeAfterReboot: true})
	const room = 5
	w.kernel.SetMax(room)
	w.ok(w.Reconcile(w.ctx))
	for i, d := range devices {
		w.passes(d, i < room)
	}
}
