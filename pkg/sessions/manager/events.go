// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Subscription is a position in the sequence of events.
type Subscription = ledger.Subscription

// Missed reports that events between a number and the next one that is stored were trimmed.
func Missed(after int64, next sessions.Event) bool { return ledger.Missed(after, next) }

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

// Place returns the generation of the database, and refuses a place among the events that
// is lost. Codes: Gone.
func (m *Manager) Place(ctx context.Context, p sessions.Place) (sessions.Generation, error) {
	return sessions.View(ctx, m.ledger.Store, func(tx sessions.Tx) (sessions.Generation, error) { return sessions.CheckPlace(tx, p) })
}

// Sight takes in where the kernel saw a client: it publishes client.conflict, and
// enforces or learns what the configuration binds clients to. A client that is not
// connected any more is ignored.
func (m *Manager) Sight(ctx context.Context, seen dataplane.Neighbor) error {
	return m.identity.Sight(ctx, seen)
}

// Publish publishes an event that is no transition of a session: of the machine, or of what the
// kernel answers.
func (m *Manager) Publish(ctx context.Context, e sessions.Event) error {
	return m.ledger.Commit(ctx, func(c *ledger.Tx) error { return c.Publish(e) })
}
