// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Subscription is a position in the sequence of events.
type Subscription = ledger.Subscription

// ErrClosed is returned by Next of a closed Subscription.
var ErrClosed = ledger.ErrClosed

// Subscribe returns the events with numbers above after, first those stored, then
// those to come. The caller closes it.
func (m *Manager) Subscribe(after int64) *Subscription { return m.ledger.Subscribe(after) }

// Events returns at most limit stored events with numbers above after, in order;
// all of them when limit is 0.
func (m *Manager) Events(ctx context.Context, after int64, limit int) ([]sessions.Event, error) {
	return m.ledger.Events(ctx, after, limit)
}

// Sight takes in where the kernel saw a client: it publishes client.conflict, and
// enforces or learns what the configuration binds clients to. A client that is not
// connected any more is ignored.
func (m *Manager) Sight(ctx context.Context, seen dataplane.Neighbor) error {
	return m.identity.Sight(ctx, seen)
}

// Unprotected publishes that a client-facing interface is up, and lets unpaid traffic
// pass.
func (m *Manager) Unprotected(ctx context.Context, name string) error {
	return m.publish(ctx, sessions.Event{Type: sessions.InterfaceUnprotected, Interface: name})
}

// Protected publishes that it is enforced again, or gone, and how long it was not.
func (m *Manager) Protected(ctx context.Context, name string, lasted time.Duration) error {
	ms := (lasted + time.Millisecond - 1).Milliseconds()
	return m.publish(ctx, sessions.Event{Type: sessions.InterfaceProtected, Interface: name, DurationMS: ms})
}

// publish publishes an event that concerns no device.
func (m *Manager) publish(ctx context.Context, e sessions.Event) error {
	return m.ledger.Commit(ctx, func(c *ledger.Tx) error { return c.Publish(e) })
}
