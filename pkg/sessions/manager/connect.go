// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/providers"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// Connect starts what the device has to consume. When it returns nil, packets
// pass. On a connected device it changes nothing, but that one which is bound to an
// address it gave up is bound to its new one. Codes: NotFound, NoSession, Full,
// Forbidden (a blocked device), Unavailable. notify goes into client.connected.
func (m *Manager) Connect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error) {
	status, err := m.connect(ctx, id, notify)
	if sessions.CodeOf(err) != sessions.NotFound {
		return status, err
	}
	// A visitor may have something at a provider. One that has nothing leaves nothing behind.
	if d, ok := m.devices.Visitor(id); ok {
		rule, static := m.enforce.Static[d.MAC]
		switch {
		case static && rule.Verdict == dataplane.Block:
			return sessions.Status{}, start.Blocked(d)
		case static:
			return m.statusOf(d, nil, m.clock.Read())
		case len(m.providers.Query(ctx, d)) == 0:
			return sessions.Status{}, start.NothingToConsume(d)
		}
		if err := m.devices.Keep(ctx, id); err != nil {
			return sessions.Status{}, err
		}
	}
	return m.connect(ctx, id, notify) // it has its row, or may have got it meanwhile
}

func (m *Manager) connect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error) {
	if s, running := m.table.Running(id); running {
		if now := m.clock.Read(); nearEnd(m.withLiveUsage(s.Session, now), now) {
			if err := m.settle.SettleRunning(ctx, []sessions.DeviceID{id}, 0); err != nil {
				return sessions.Status{}, err
			}
		}
	}
	if err := m.identity.Rebind(ctx, id); err != nil {
		return sessions.Status{}, err
	}
	offers, err := m.offers(ctx, id)
	if err != nil {
		return sessions.Status{}, err
	}
	r, err := m.start.Start(ctx, id, offers, func(c *ledger.Tx, d sessions.Device, s sessions.Session) error {
		return c.Connected(d, s, notify)
	})
	if err != nil {
		return sessions.Status{}, err
	}
	return m.statusOf(r.Device, r.Session, r.At)
}

// nearEnd reports whether a session that is remembered as running may have ended in
// the kernel already, so that a Connect settles it first.
func nearEnd(s sessions.Session, now sessions.Instant) bool {
	return s.Exhausted() || s.BelowOnePacket() || now.Expired(s)
}

// offers queries the providers, if there are any, for what the device has.
func (m *Manager) offers(ctx context.Context, id sessions.DeviceID) ([]providers.Offer, error) {
	if _, running := m.table.Running(id); running || !m.providers.Any() {
		return nil, nil
	}
	d, err := m.ledger.Device(ctx, id)
	if err != nil || m.enforce.Static[d.MAC].Verdict != 0 {
		return nil, err
	}
	return m.providers.Query(ctx, d), nil
}

// Disconnect pauses the device's running session. When it returns nil, no further
// packet passes and the balance is saved. On a device that is not connected it
// changes nothing. Codes: NotFound, Forbidden (a trusted device), Unavailable.
// notify goes into client.disconnected.
func (m *Manager) Disconnect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error) {
	d, err := m.start.Pause(ctx, id, sessions.ReasonRequest, notify)
	if sessions.CodeOf(err) == sessions.NotFound {
		d, err = m.devices.Device(ctx, id)
	}
	if err != nil {
		return sessions.Status{}, err
	}
	if m.enforce.Trusted(d.MAC) {
		return sessions.Status{}, sessions.Errorf(sessions.Forbidden, "device %d (%s) is trusted by the configuration: it is always connected", id, d.MAC)
	}
	return sessions.Status{Device: d}, nil
}
