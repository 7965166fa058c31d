// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// Status returns a device with live figures: what is not yet settled is included.
// Codes: NotFound.
func (m *Manager) Status(ctx context.Context, id sessions.DeviceID) (sessions.Status, error) {
	d, s, err := m.devices.Lookup(ctx, id)
	if err != nil {
		return sessions.Status{}, err
	}
	return m.statusOf(d, s, m.clock.Read())
}

// statusOf adds live figures to a device and what it runs, nil for nothing.
func (m *Manager) statusOf(d sessions.Device, s *sessions.Session, now sessions.Instant) (sessions.Status, error) {
	status := sessions.Status{Device: d, At: now}
	account := dataplane.TrustedAccount(d.MAC)
	switch {
	case m.enforce.Trusted(d.MAC):
		status.Connected = true
	case s != nil:
		account = s.Account()
	default:
		return status, nil
	}
	r, err := m.enforce.Read(account)
	if err != nil {
		return sessions.Status{}, err
	}
	if s != nil {
		live := sessions.AsOf(*s, r, now)
		status.Session, status.Connected = &live, status.Connected || !live.Exhausted() && !now.Expired(live)
	}
	if r != nil {
		up, down := m.table.Rate(*r, now.Boot)
		status.Traffic = trafficOf(*r, up, down, now)
	}
	return status, nil
}

func trafficOf(r dataplane.Reading, up, down uint64, now sessions.Instant) sessions.Traffic {
	c := r.Counters
	return sessions.Traffic{
		UpBytes: c.UpBytes, DownBytes: c.DownBytes, UpPackets: c.UpPackets, DownPackets: c.DownPackets,
		DroppedPackets: c.RateDrops + c.LimitDrops + c.DeadlineDrops,
		UpBPS:          up, DownBPS: down,
		LastSeen: now.WallAt(c.LastSeen),
	}
}

// Current returns the device's running session with live figures. Codes: NotFound,
// NotConnected.
func (m *Manager) Current(ctx context.Context, id sessions.DeviceID) (sessions.Session, error) {
	d, s, err := m.devices.Lookup(ctx, id)
	if err != nil {
		return sessions.Session{}, err
	}
	if s == nil {
		return sessions.Session{}, sessions.Errorf(sessions.NotConnected, "device %d (%s) has no running session", id, d.MAC)
	}
	return m.withLiveUsage(*s, m.clock.Read()), nil
}

// Next returns what Connect would start if nothing ran. Codes: NotFound, NoSession.
func (m *Manager) Next(ctx context.Context, id sessions.DeviceID) (sessions.Session, error) {
	d, err := m.devices.Device(ctx, id)
	if err != nil {
		return sessions.Session{}, err
	}
	if offers := m.providers.Query(ctx, d); len(offers) > 0 {
		if err := m.devices.Keep(ctx, id); err != nil {
			return sessions.Session{}, err
		}
		return m.start.Preview(ctx, d, offers[0])
	}
	list, err := m.Sessions(ctx, sessions.SessionFilter{Device: id})
	if err != nil {
		return sessions.Session{}, err
	}
	s, ok := sessions.Choose(sessions.LocalOnly(list), m.clock.Read())
	if !ok {
		return s, start.NothingToConsume(d)
	}
	return s, nil
}

// Session returns a session; a running one with live figures. Codes: NotFound.
func (m *Manager) Session(ctx context.Context, id sessions.SessionID) (sessions.Session, error) {
	s, err := m.ledger.Session(ctx, id)
	if err != nil {
		return s, err
	}
	return m.withLiveUsage(s, m.clock.Read()), nil
}

// Sessions returns the selected sessions by id; running ones with live figures.
func (m *Manager) Sessions(ctx context.Context, filter sessions.SessionFilter) ([]sessions.Session, error) {
	read := sessions.Snapshot[[]sessions.Session]
	if filter.Device != 0 {
		read = sessions.View // its sessions are few
	}
	list, err := read(ctx, m.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.Sessions(filter) })
	now := m.clock.Read()
	for i := range list {
		list[i] = m.withLiveUsage(list[i], now)
	}
	return list, err
}

// withLiveUsage adds what is not yet settled. A count that cannot be read is left out.
func (m *Manager) withLiveUsage(s sessions.Session, now sessions.Instant) sessions.Session {
	switch s.State {
	case sessions.Running:
		r, err := m.enforce.Read(s.Account())
		if err != nil {
			m.cfg.Log.Warn("figures as of the last checkpoint", "session", s.ID, "error", err)
		}
		return sessions.AsOf(s, r, now)
	case sessions.Available, sessions.Paused:
		if now.Expired(s) {
			s.State = sessions.Expired
		}
	}
	return s
}

// Summary counts what there is.
func (m *Manager) Summary(ctx context.Context) (sessions.Summary, error) {
	sum := sessions.Summary{Health: m.Health()}
	err := m.ledger.Store.Snapshot(ctx, func(tx sessions.Tx) error {
		var err error
		if sum.Devices, err = tx.CountDevices(); err != nil {
			return err
		}
		if sum.Sessions, err = tx.CountSessions(); err != nil {
			return err
		}
		if sum.Generation, err = tx.Generation(); err != nil {
			return err
		}
		_, sum.LastSeq, err = tx.EventRange()
		return err
	})
	sum.Connected = sum.Sessions[sessions.Running]
	sum.Visitors = m.devices.CountVisitors()
	return sum, err
}

// Health returns what works and what does not, from memory: it reads neither the store nor
// the kernel.
func (m *Manager) Health() sessions.Health {
	h := sessions.Health{ClockSane: m.clock.Read().WallTrusted, Outages: m.providers.Outages()}
	h.LastSettle, h.SettleErr = m.settle.Last()
	return h
}
