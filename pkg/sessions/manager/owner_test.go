// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// overtaken is a store that calls a function right after it was read.
type overtaken struct {
	*sessionstest.Store
	then atomic.Pointer[func()]
}

func (o *overtaken) View(ctx context.Context, fn func(sessions.Tx) error) error {
	err := o.Store.View(ctx, fn)
	if then := o.then.Swap(nil); then != nil {
		(*then)()
	}
	return err
}

// movesAfterALook is a customer whose session goes to another device as soon as
// a reader has seen that it is the first one's.
func movesAfterALook(t *testing.T) (w *world, d, other sessions.Device, s sessions.Session, arm func()) {
	t.Helper()
	w = newWorld(t, manager.Config{})
	d, other = w.phone(1), w.phone(2)
	s = w.buyData(d, 10_000)
	w.connect(d)
	store := &overtaken{Store: w.store}
	w.Manager = manager.New(store, w.kernel, w.clock, w.cfg)
	w.ok(w.Reconcile(w.ctx))
	move := func() {
		_, err := w.MoveSession(w.ctx, s.ID, other.ID)
		w.ok(err)
	}
	return w, d, other, s, func() { store.then.Store(&move) }
}

func TestDeleteWhileItMoves(t *testing.T) {
	w, d, other, s, arm := movesAfterALook(t)
	arm()
	w.ok(w.DeleteSession(w.ctx, s.ID))
	w.passes(d, false)
	w.passes(other, false)
	w.code(w.DeleteSession(w.ctx, s.ID), sessions.NotFound)
}

func TestTopUpWhileItMoves(t *testing.T) {
	w, d, other, s, arm := movesAfterALook(t)
	arm()
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddBytes: ptr(uint64(10_000))})
	w.ok(err)
	w.passes(d, false)
	if passed := w.kernel.Fill(other.MAC); passed <= 18_500 || passed > 20_000 {
		t.Errorf("%d bytes passed of 20,000", passed)
	}
}

// The account of a session that moves stays as long as its new device may start it.
func TestAccountOfAPausedSessionThatMoves(t *testing.T) {
	w, d, other, s, arm := movesAfterALook(t)
	w.disconnect(d)
	w.checkpoint()
	w.clock.Advance(2 * time.Second)
	arm()
	w.kernel.Intercept(func(c sessionstest.Call) error {
		if c.Op == sessionstest.Forget {
			w.connect(other)
		}
		return nil
	})
	w.checkpoint()
	w.mend()
	if got := w.state(s.ID, sessions.Paused); got.Device != other.ID {
		t.Errorf("it is of device %d", got.Device)
	}
	w.checkpoint()
	if _, err := w.kernel.Read(s.Account()); !errors.Is(err, dataplane.ErrNoAccount) {
		t.Errorf("the account stays: %v", err)
	}
}
