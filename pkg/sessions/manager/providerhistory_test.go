// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

const voucherBytes = 30_000

// mortal is a shop whose callers may die: what they have not yet said then is not
// heard any more.
type mortal struct{ *shop }

func (m mortal) Save(ctx context.Context, token string, data sessions.SessionData) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.failing != nil:
		return m.failing
	case !m.tokens[token]:
		return sessions.Errorf(sessions.NotFound, "no source %q", token)
	}
	m.data.Used, m.data.TimeUsed, m.data.Started = data.Used, data.TimeUsed, data.Started
	return nil
}

// providerHistory is a history of one device with the session of one provider.
type providerHistory struct {
	*history
	cafe  *shop
	total uint64 // what the kernel let through

	mu   sync.Mutex // the agent does things in the background
	left int        // steps until it dies; negative: it does not
	dead bool
}

func (h *providerHistory) lives() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left == 0 {
		h.dead = true
		return errCrash
	}
	h.left--
	return nil
}

// dieIn has the agent die after some steps; negative: not.
func (h *providerHistory) dieIn(steps int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left, h.dead = steps, false
}

func (h *providerHistory) isDead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dead
}

// A provider that goes down and comes back, and an agent that dies at any step, agree
// in the end about what the kernel let through.
func TestProviderLearnsEveryByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &providerHistory{history: newHistory(rt), cafe: newShop(voucher(voucherBytes)), left: -1}
		h.kernel.Intercept(func(sessionstest.Call) error { return h.lives() })
		h.store.BeforeCommit(h.lives)
		h.cfg.Dial = func(sessions.ProviderRecord) sessions.Provider { return mortal{h.cafe} }
		h.restart()
		h.ok(h.Reconcile(h.ctx))
		h.ok(h.RegisterProvider(h.ctx, sessions.ProviderRecord{Name: "shop", Socket: "/run/shop"}))
		one := h.devices[0].ID
		edit := func(fn func(*shop)) func(*rapid.T) { return func(*rapid.T) { h.cafe.set(fn) } }
		do := func(fn func() error) func(*rapid.T) { return func(*rapid.T) { h.attempt(fn) } }
		rt.Repeat(map[string]func(*rapid.T){
			"connect":      do(func() error { _, err := h.Connect(h.ctx, one, ""); return err }),
			"disconnect":   do(func() error { _, err := h.Disconnect(h.ctx, one, ""); return err }),
			"next":         do(func() error { _, err := h.Next(h.ctx, one); return err }),
			"checkpoint":   do(h.later),
			"events":       do(h.handleEvents),
			"reconcile":    do(func() error { return h.Reconcile(h.ctx) }),
			"packets":      func(*rapid.T) { h.traffic() },
			"lost tokens":  edit(func(s *shop) { clear(s.tokens) }),
			"shop down":    edit(func(s *shop) { s.failing = errBroken }),
			"shop up":      edit(func(s *shop) { s.failing = nil }),
			"die":          func(*rapid.T) { h.die() },
			"die somewhen": func(*rapid.T) { h.dieIn(rapid.IntRange(0, 8).Draw(rt, "steps left")) },
		})
		h.agree(t)
	})
}

func (h *providerHistory) traffic() {
	for range rapid.IntRange(0, 8).Draw(h.rt, "packets") {
		if size := rapid.Uint64Range(60, 1500).Draw(h.rt, "size"); h.kernel.Download(mac(1), size) {
			h.total += size
		}
	}
}

func (h *providerHistory) later() error {
	h.clock.Advance(16 * time.Second)
	return h.settleAll()
}

func (h *providerHistory) attempt(do func() error) {
	err := do()
	if h.isDead() {
		h.die()
	} else if err != nil && sessions.CodeOf(err) != sessions.NoSession {
		h.Fatalf("%v", err)
	}
}

// die ends the agent without a last word, and starts another one after some packets.
func (h *providerHistory) die() {
	h.dieIn(0)
	_ = h.Stop(h.ctx, false) // ends what it does in the background; stores nothing
	h.traffic()
	h.dieIn(-1)
	h.restart()
	h.ok(h.Reconcile(h.ctx))
}

// agree has all usage settled and delivered, and compares.
func (h *providerHistory) agree(t *testing.T) {
	h.cafe.set(func(s *shop) { s.failing = nil })
	h.die()
	for range 4 {
		h.ok(h.later())
	}
	var rows []sessions.Session
	sessionstest.WaitFor(t, "all usage to be delivered", func() bool {
		var err error
		rows, err = h.Sessions(h.ctx, sessions.SessionFilter{})
		delivered := err == nil
		for _, s := range rows {
			delivered = delivered && !s.Unsaved
		}
		return delivered
	})
	h.ok(h.Stop(h.ctx, false))
	saved := h.cafe.data.Used
	writtenOff := saved == voucherBytes && saved-h.total < 1500
	if h.total > voucherBytes || saved != h.total && !writtenOff {
		h.Fatalf("%d bytes passed, the provider has %d: %+v", h.total, saved, rows)
	}
}
