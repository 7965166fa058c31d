// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// Service is what the server calls: the methods of [manager.Manager], and two that
// need more than the rules. Safe for concurrent use. Errors that a client can act on
// are *sessions.Error; any other is logged and answered as internal.
type Service interface {
	Connect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error)
	Disconnect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error)
	Status(ctx context.Context, id sessions.DeviceID) (sessions.Status, error)
	Current(ctx context.Context, id sessions.DeviceID) (sessions.Session, error)
	Next(ctx context.Context, id sessions.DeviceID) (sessions.Session, error)

	CreateDevice(ctx context.Context, spec sessions.DeviceSpec) (sessions.Device, error)
	UpdateDevice(ctx context.Context, id sessions.DeviceID, patch sessions.DevicePatch) (sessions.Device, error)
	FindDevice(ctx context.Context, ref string) (sessions.Device, error)
	Devices(ctx context.Context) ([]sessions.Device, error)

	CreateSession(ctx context.Context, spec sessions.SessionSpec) (sessions.Purchase, error)
	MoveSession(ctx context.Context, id sessions.SessionID, to sessions.DeviceID) (sessions.Session, error)
	Claim(ctx context.Context, code string, to func() (sessions.DeviceID, error)) (sessions.Session, error)
	RevokeClaim(ctx context.Context, id sessions.SessionID) error
	UpdateSession(ctx context.Context, id sessions.SessionID, patch sessions.SessionPatch) (sessions.Session, error)
	DeleteSession(ctx context.Context, id sessions.SessionID) error
	Session(ctx context.Context, id sessions.SessionID) (sessions.Session, error)
	Sessions(ctx context.Context, filter sessions.SessionFilter) ([]sessions.Session, error)

	Export(ctx context.Context, all bool) ([]sessions.Portable, error)
	Import(ctx context.Context, list []sessions.Portable) (sessions.Imported, error)

	Events(ctx context.Context, after int64, limit int) ([]sessions.Event, error)
	Subscribe(after int64) *manager.Subscription

	RegisterProvider(ctx context.Context, record sessions.ProviderRecord) error
	UnregisterProvider(ctx context.Context, name string) error
	Providers(ctx context.Context) ([]sessions.ProviderRecord, error)

	// Resolve returns the device behind an address of a client network, and
	// registers it when it is new. NotFound when no neighbour has the address.
	Resolve(ctx context.Context, ip netip.Addr) (sessions.Device, error)
	// AgentStatus describes the agent.
	AgentStatus(ctx context.Context) (AgentStatus, error)
}
