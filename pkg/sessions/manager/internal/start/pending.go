// SPDX-License-Identifier: Apache-2.0

package start

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// PendingNext holds the devices between two sessions: one ended, and what comes next
// is being looked for. Entries change under the device's lock. A Disconnect cancels the
// entry, so that nothing starts after it, and so does a Connect, so that no
// client.disconnected follows it.
type PendingNext struct {
	mu      sync.Mutex
	pending map[sessions.DeviceID]Ended
}

// Add makes an entry for the device of an ended session, in place of an earlier one.
func (g *PendingNext) Add(e Ended) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending == nil {
		g.pending = make(map[sessions.DeviceID]Ended)
	}
	g.pending[e.Device.ID] = e
}

// Cancel removes the entry of a device and returns it; false when there is none.
func (g *PendingNext) Cancel(id sessions.DeviceID) (Ended, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.pending[id]
	delete(g.pending, id)
	return e, ok
}

// StartNextOrDisconnect starts what comes after a session that ended, or publishes that
// the device is disconnected, unless the entry was cancelled meanwhile.
func (st *Starter) StartNextOrDisconnect(ctx context.Context, e Ended) error {
	offers := st.providers.Query(ctx, e.Device)
	held := st.enforce.Lock(e.Device.ID)
	defer held.Unlock()
	if _, open := st.Pending.Cancel(e.Device.ID); !open {
		return nil
	}
	err := ctx.Err()
	if err == nil {
		_, err = st.startOne(ctx, held, e.Device.ID, offers, func(*ledger.Tx, sessions.Device, sessions.Session) error { return nil })
	}
	if err == nil {
		return nil
	}
	if sessions.CodeOf(err) != sessions.NoSession {
		st.log.Error("the next session could not be started", "device", e.Device.ID, "error", err)
	}
	return st.ledger.Commit(context.WithoutCancel(ctx), func(c *ledger.Tx) error { return publishDisconnected(c, e, e.Reason, "") })
}

// publishDisconnected publishes that the device of a session that ended is disconnected.
func publishDisconnected(c *ledger.Tx, e Ended, reason, message string) error {
	d, err := c.Device(e.Device.ID)
	if err != nil {
		return err
	}
	return c.Disconnected(d, e.Last, reason, message)
}

// CloseForgotten publishes client.disconnected for the devices that an earlier run of the
// agent left between two sessions. Its events say which.
func (st *Starter) CloseForgotten(ctx context.Context) error {
	events, err := st.ledger.Events(ctx, 0, 0)
	if err != nil {
		return err
	}
	left := connectedBy(events)
	var failed error
	for _, id := range slices.Sorted(maps.Keys(left)) {
		failed = errors.Join(failed, st.closeForgotten(ctx, id, left[id]))
	}
	return failed
}

func (st *Starter) closeForgotten(ctx context.Context, id sessions.DeviceID, last sessions.Event) error {
	held := st.enforce.Lock(id)
	defer held.Unlock()
	d, running, err := st.ledger.Lookup(ctx, id)
	if err != nil || running != nil {
		return err
	}
	return st.ledger.Commit(ctx, func(c *ledger.Tx) error {
		return c.Disconnected(d, sessions.Session{ID: last.Session}, last.Reason, "")
	})
}

// connectedBy returns the devices that are connected by their events, each with the last event of its session.
func connectedBy(events []sessions.Event) map[sessions.DeviceID]sessions.Event {
	connected := make(map[sessions.DeviceID]sessions.Event)
	for _, e := range events {
		_, known := connected[e.Device]
		switch {
		case e.Type == sessions.ClientDisconnected:
			delete(connected, e.Device)
		case e.Type == sessions.SessionStarted, e.Type == sessions.ClientConnected, known && strings.HasPrefix(string(e.Type), "session.") && e.Reason != "":
			connected[e.Device] = e
		}
	}
	return connected
}

// StartNextLater is StartNextOrDisconnect in the background: providers may be slow.
func (st *Starter) StartNextLater(e Ended) {
	st.ledger.Background.Go(func() {
		if err := st.StartNextOrDisconnect(st.ledger.Background.Context(), e); err != nil {
			st.log.Error("client.disconnected was not published", "device", e.Device.ID, "error", err)
		}
	})
}

// Ended is a device whose session ended.
type Ended struct {
	Device sessions.Device
	Last   sessions.Session
	Reason string
	Next   *sessions.Session // started in its place
	Query  bool              // providers are queried first for what comes next
}
