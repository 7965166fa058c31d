// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// gapTable holds the devices between two sessions: one ended, and what comes next
// is being looked for. Entries change under the device's lock. A Disconnect closes
// the gap, so that nothing starts after it, and so does a Connect, so that nobody
// is told afterwards that the device is disconnected.
type gapTable struct {
	mu   sync.Mutex
	open map[sessions.DeviceID]ended
}

func (g *gapTable) enter(e ended) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[sessions.DeviceID]ended)
	}
	g.open[e.device.ID] = e
}

// leave closes the gap of a device and returns what it was opened with; false when
// there is none.
func (g *gapTable) leave(id sessions.DeviceID) (ended, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.open[id]
	delete(g.open, id)
	return e, ok
}

// continueAfter starts what comes after a session that ended, or says that the
// device is disconnected, unless somebody closed the gap meanwhile.
func (m *Manager) continueAfter(ctx context.Context, e ended) error {
	offers := m.ask(ctx, e.device)
	defer m.locks.lock(e.device.ID)()
	if _, open := m.gaps.leave(e.device.ID); !open {
		return nil
	}
	err := ctx.Err()
	if err == nil {
		_, _, err = m.startOne(ctx, e.device.ID, offers, func(*change, sessions.Device, sessions.Session) error { return nil })
	}
	if err == nil {
		return nil
	}
	if sessions.CodeOf(err) != sessions.NoSession {
		m.log.Error("the next session could not be started", "device", e.device.ID, "error", err)
	}
	return m.commit(context.WithoutCancel(ctx), func(c *change) error { return c.gone(e, e.reason, "") })
}

// gone says that the device of a session that ended is disconnected.
func (c *change) gone(e ended, reason, message string) error {
	d, err := c.Device(e.device.ID)
	if err != nil {
		return err
	}
	return c.disconnected(d, e.last, reason, message)
}

// closeGaps tells of the devices that an earlier run of the agent left between two
// sessions: nobody looks for their next one any more. Its events say which.
func (m *Manager) closeGaps(ctx context.Context) error {
	events, err := m.Events(ctx, 0, 0)
	if err != nil {
		return err
	}
	left := connectedBy(events)
	var failed error
	for _, id := range slices.Sorted(maps.Keys(left)) {
		failed = errors.Join(failed, m.closeGap(ctx, id, left[id]))
	}
	return failed
}

func (m *Manager) closeGap(ctx context.Context, id sessions.DeviceID, last sessions.Event) error {
	defer m.locks.lock(id)()
	d, running, err := m.lookup(ctx, id)
	if err != nil || running != nil {
		return err
	}
	return m.commit(ctx, func(c *change) error {
		return c.disconnected(d, sessions.Session{ID: last.Session}, last.Reason, "")
	})
}

// connectedBy returns the devices that are connected as far as their events tell,
// each with the last event of its session.
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
