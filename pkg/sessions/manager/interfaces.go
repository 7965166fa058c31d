// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Unprotected publishes that a client-facing interface is up, and lets pass what
// nobody paid for.
func (m *Manager) Unprotected(ctx context.Context, name string) error {
	return m.tell(ctx, sessions.Event{Type: sessions.InterfaceUnprotected, Interface: name})
}

// Protected publishes that it is enforced again, or gone, and how long it was not.
func (m *Manager) Protected(ctx context.Context, name string, lasted time.Duration) error {
	ms := (lasted + time.Millisecond - 1).Milliseconds()
	return m.tell(ctx, sessions.Event{Type: sessions.InterfaceProtected, Interface: name, DurationMS: ms})
}

// tell publishes what is about no device.
func (m *Manager) tell(ctx context.Context, e sessions.Event) error {
	return m.commit(ctx, func(c *change) error { return c.event(e) })
}
