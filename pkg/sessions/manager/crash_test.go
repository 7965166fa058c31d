// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// errCrash is returned by everything that the agent tries after it "crashed": so
// each step may be the last one that was done.
var errCrash = errors.New("crashed")

// history is a world that lives through anything, with a ledger of its own.
type history struct {
	*world
	rt      *rapid.T
	devices []sessions.Device
	ids     []sessions.SessionID
	bought  map[sessions.SessionID]uint64
	passed  map[sessions.SessionID]uint64 // what the kernel let through, by session
	fuse    int                           // steps until the crash; negative: none
	crashed bool
}

// A history of purchases, verbs, packets, checkpoints and crashes at any step of
// any of them loses no byte and debits none twice.
func TestNoByteIsLostOrDebitedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"buy":        h.buyAny,
			"connect":    func(*rapid.T) { h.try(func() error { _, err := h.Connect(h.ctx, h.anyDevice(), ""); return err }) },
			"disconnect": func(*rapid.T) { h.try(func() error { _, err := h.Disconnect(h.ctx, h.anyDevice(), ""); return err }) },
			"top up":     h.topUp,
			"move":       h.moveAny,
			"packets":    func(*rapid.T) { h.packets() },
			"late":       func(*rapid.T) { h.late() },
			"power cut":  func(*rapid.T) { h.powerCut() },
			"time": func(*rapid.T) {
				h.clock.Advance(time.Duration(rapid.IntRange(1, 3000).Draw(h.rt, "ms")) * time.Millisecond)
			},
			"checkpoint": func(*rapid.T) { h.try(h.settleAll) },
			"events":     func(*rapid.T) { h.try(h.handleEvents) },
			"reconcile":  func(*rapid.T) { h.try(func() error { return h.Reconcile(h.ctx) }) },
			"crash soon": func(*rapid.T) { h.fuse = rapid.IntRange(0, 6).Draw(h.rt, "steps left") },
			"detach":     func(*rapid.T) { h.lose(h.kernel.Detach) },
			"reboot":     func(*rapid.T) { h.lose(func() { h.kernel.Detach(); h.clock.Reboot(time.Minute) }) },
			"":           func(*rapid.T) { h.check() },
		})
		h.settleForGood()
	})
}

func newHistory(rt *rapid.T) *history {
	h := &history{
		world: newWorld(rt, manager.Config{}), rt: rt, fuse: -1,
		bought: make(map[sessions.SessionID]uint64), passed: make(map[sessions.SessionID]uint64),
	}
	for n := 1; n <= 2; n++ {
		h.devices = append(h.devices, h.phone(n))
	}
	h.kernel.Intercept(func(sessionstest.Call) error { return h.step() })
	h.store.BeforeCommit(h.step)
	return h
}

func (h *history) step() error {
	if h.fuse == 0 {
		h.crashed = true
		return errCrash
	}
	h.fuse--
	return nil
}

// try does something that may crash on the way; then a new agent takes over after
// a while in which packets keep passing.
func (h *history) try(do func() error) {
	err := do()
	if !h.crashed {
		if code := sessions.CodeOf(err); err != nil && code != sessions.NoSession && code != sessions.Conflict {
			h.Fatalf("%v", err)
		}
		return
	}
	h.packets()
	h.clock.Advance(time.Duration(rapid.IntRange(0, 1000).Draw(h.rt, "ms down")) * time.Millisecond)
	h.crashed, h.fuse = false, -1
	h.restart()
	h.ok(h.Reconcile(h.ctx))
}

// anyDevice is one that did not give way to another.
func (h *history) anyDevice() sessions.DeviceID {
	h.devices = slices.DeleteFunc(h.devices, func(d sessions.Device) bool {
		_, err := h.Device(h.ctx, d.ID)
		return sessions.CodeOf(err) == sessions.NotFound
	})
	return rapid.SampledFrom(h.devices).Draw(h.rt, "device").ID
}

func (h *history) buyAny(*rapid.T) {
	bytes := rapid.Uint64Range(1, 20_000).Draw(h.rt, "bytes")
	spec := sessions.SessionSpec{Device: h.anyDevice(), Type: sessions.Data, Bytes: bytes}
	if rapid.Bool().Draw(h.rt, "timed") {
		spec.Type, spec.Time = sessions.TimeOrData, time.Duration(rapid.IntRange(1, 5000).Draw(h.rt, "ms"))*time.Millisecond
	}
	h.try(func() error {
		s, err := h.CreateSession(h.ctx, spec)
		if err == nil {
			h.ids = append(h.ids, s.ID)
			h.bought[s.ID] = bytes
		}
		return err
	})
}

func (h *history) topUp(*rapid.T) {
	if len(h.ids) == 0 {
		return
	}
	id := rapid.SampledFrom(h.ids).Draw(h.rt, "session")
	bytes := rapid.Uint64Range(1, 20_000).Draw(h.rt, "more")
	h.try(func() error {
		h.bought[id] += bytes // it may be stored even if the answer is lost
		_, err := h.UpdateSession(h.ctx, id, sessions.SessionPatch{AddBytes: &bytes})
		if sessions.CodeOf(err) == sessions.Invalid { // its time is used up: nothing is stored
			h.bought[id] -= bytes
			return nil
		}
		return err
	})
}

func (h *history) moveAny(*rapid.T) {
	id := h.anyDevice()
	to := fmt.Sprintf("02:00:5e:10:00:%02x", rapid.IntRange(1, 5).Draw(h.rt, "mac"))
	h.try(func() error {
		_, err := h.UpdateDevice(h.ctx, id, sessions.DevicePatch{MAC: &to})
		return err
	})
}

// packets sends packets to every MAC, and notes to whose account they went.
func (h *history) packets() {
	rules := maps.Collect(h.kernel.Rules())
	for n := byte(1); n <= 5; n++ {
		for range rapid.IntRange(0, 8).Draw(h.rt, "packets") {
			size := rapid.Uint64Range(60, 1500).Draw(h.rt, "size")
			if h.kernel.Download(mac(n), size) {
				h.passed[sessions.SessionOf(rules[mac(n)].Account)] += size
			}
		}
	}
}

// late counts packets that were in flight when their rule went: as long as the account
// is there, they may come.
func (h *history) late() {
	inUse := make(map[dataplane.Account]bool)
	for _, rule := range h.kernel.Rules() {
		inUse[rule.Account] = true
	}
	left := h.kernel.Readings()
	for _, r := range left {
		id := sessions.SessionOf(r.Account)
		size := min(rapid.Uint64Range(0, 1500).Draw(h.rt, "size"), h.bought[id]-h.passed[id])
		if !inUse[r.Account] {
			h.kernel.Late(r.Account, size)
			h.passed[id] += size
		}
	}
}

// powerCut is the machine's end right after a checkpoint: what was bought is there, and
// what was used up to the checkpoint.
func (h *history) powerCut() {
	h.lose(func() {
		h.ok(h.Stop(h.ctx, false)) // no commit follows
		h.ok(h.settleAll())
		h.kernel.Detach()
		h.clock.Reboot(time.Minute)
		h.store.PowerCut()
	})
}

func (h *history) settleAll() error {
	readings := h.kernel.Readings()
	return h.Settle(h.ctx, slices.Chunk(readings, 2))
}

func (h *history) handleEvents() error {
	for {
		select {
		case e := <-h.kernel.Events():
			if err := h.Ended(h.ctx, e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// lose takes the kernel's state away, right after a checkpoint: what passed since
// the last one would be lost, in the customer's favour.
func (h *history) lose(do func()) {
	h.fuse = -1
	h.clock.Advance(15 * time.Second)
	h.ok(h.settleAll())
	h.clock.Advance(1) // no two times are the same
	do()
	h.restart()
	h.ok(h.Reconcile(h.ctx))
}

// check is what must hold at any time: nothing passes beyond what was bought.
func (h *history) check() {
	for id, passed := range h.passed {
		if passed > h.bought[id] {
			h.Fatalf("%d bytes passed on session %d, which has %d", passed, id, h.bought[id])
		}
	}
}

// settleForGood lets everything be written down and compares the ledgers.
func (h *history) settleForGood() {
	h.fuse = -1
	h.crashed = false
	h.restart()
	h.ok(h.Reconcile(h.ctx))
	for range len(h.ids) + 3 { // one may start after the other
		h.ok(h.settleAll())
		h.clock.Advance(15 * time.Second)
	}
	h.check()
	connected := 0
	for _, id := range h.ids {
		s := h.session(id)
		if s.Used != h.passed[id] {
			h.Fatalf("session %d: %d bytes debited, %d passed: %+v", id, s.Used, h.passed[id], s)
		}
		if s.TimeUsed > s.Time && s.Type != sessions.Data {
			h.Fatalf("session %d used %s of %s", id, s.TimeUsed, s.Time)
		}
		if s.State == sessions.Running {
			connected++
		}
	}
	if rules := maps.Collect(h.kernel.Rules()); len(rules) != connected {
		h.Fatalf("%d rules in the kernel for %d running sessions", len(rules), connected)
	}
	if left := h.kernel.Readings(); len(left) != connected {
		h.Fatalf("%d accounts in the kernel for %d running sessions", len(left), connected)
	}
}
