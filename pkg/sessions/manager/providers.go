// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// RegisterProvider adds a provider, last in order, or replaces one of the same name in
// its place. It is remembered across restarts, and the usage of its sessions that it does
// not know is delivered.
func (m *Manager) RegisterProvider(ctx context.Context, record sessions.ProviderRecord) error {
	return m.providers.Register(ctx, record)
}

// UnregisterProvider removes a provider: it is not called any more. A session of it that
// runs continues. Code NotFound.
func (m *Manager) UnregisterProvider(ctx context.Context, name string) error {
	return m.providers.Unregister(ctx, name)
}

// Providers returns the registered providers in order.
func (m *Manager) Providers(ctx context.Context) ([]sessions.ProviderRecord, error) {
	return m.providers.List(ctx)
}
