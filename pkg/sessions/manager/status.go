// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Status returns a device with live figures: what is not yet settled is included.
// Codes: NotFound.
func (m *Manager) Status(ctx context.Context, id sessions.DeviceID) (sessions.Status, error) {
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return sessions.Status{}, err
	}
	return m.statusOf(d, s)
}

// statusOf adds live figures to a device and what it runs, nil for nothing.
func (m *Manager) statusOf(d sessions.Device, s *sessions.Session) (sessions.Status, error) {
	status := sessions.Status{Device: d}
	account := dataplane.TrustedAccount(d.MAC)
	switch {
	case m.trusted(d.MAC):
		status.Connected = true
	case s != nil:
		account = s.ID.Account()
	default:
		return status, nil
	}
	r, found, err := m.read(account)
	if err != nil {
		return sessions.Status{}, err
	}
	now := m.now()
	if s != nil {
		live := sessions.AsOf(*s, m.look(r, found), now)
		status.Session, status.Connected = &live, status.Connected || !live.Exhausted() && !now.Expired(live)
	}
	if found {
		status.Traffic = m.traffic(r, now)
	}
	return status, nil
}

func (m *Manager) look(r dataplane.Reading, found bool) *dataplane.Reading {
	if !found {
		return nil
	}
	return &r
}

func (m *Manager) speedsOf(r dataplane.Reading, now sessions.Instant) (up, down uint64) {
	if sessions.IsTrusted(r.Account) {
		return m.rates.observe(r, now.Boot)
	}
	return m.live.observe(r, now.Boot, m.rates.memory)
}

func (m *Manager) traffic(r dataplane.Reading, now sessions.Instant) sessions.Traffic {
	c := r.Counters
	up, down := m.speedsOf(r, now)
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
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return sessions.Session{}, err
	}
	if s == nil {
		return sessions.Session{}, sessions.Errorf(sessions.NotConnected, "device %d (%s) has no running session", id, d.MAC)
	}
	return m.overlay(*s, m.now()), nil
}

// Next returns what Connect would start if nothing ran. Codes: NotFound, NoSession.
func (m *Manager) Next(ctx context.Context, id sessions.DeviceID) (sessions.Session, error) {
	d, err := m.Device(ctx, id)
	if err != nil {
		return sessions.Session{}, err
	}
	if offers := m.ask(ctx, d); len(offers) > 0 {
		return m.preview(ctx, d, offers[0])
	}
	list, err := m.Sessions(ctx, sessions.SessionFilter{Device: id})
	if err != nil {
		return sessions.Session{}, err
	}
	s, ok := sessions.Choose(sessions.LocalOnly(list), m.now())
	if !ok {
		return s, sessions.Errorf(sessions.NoSession, "device %d (%s) has nothing to consume: buy it a session first", id, d.MAC)
	}
	return s, nil
}

// Session returns a session; a running one with live figures. Codes: NotFound.
func (m *Manager) Session(ctx context.Context, id sessions.SessionID) (sessions.Session, error) {
	s, err := m.stored(ctx, id)
	if err != nil {
		return s, err
	}
	return m.overlay(s, m.now()), nil
}

// Sessions returns the selected sessions by id; running ones with live figures.
func (m *Manager) Sessions(ctx context.Context, filter sessions.SessionFilter) ([]sessions.Session, error) {
	read := sessions.Snapshot[[]sessions.Session]
	if filter.Device != 0 {
		read = sessions.View // its sessions are few
	}
	list, err := read(ctx, m.store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.Sessions(filter) })
	now := m.now()
	for i := range list {
		list[i] = m.overlay(list[i], now)
	}
	return list, err
}

// overlay adds what is not yet settled. A count that cannot be read is left out.
func (m *Manager) overlay(s sessions.Session, now sessions.Instant) sessions.Session {
	switch s.State {
	case sessions.Running:
		r, found, err := m.read(s.ID.Account())
		if err != nil {
			m.log.Warn("figures as of the last checkpoint", "session", s.ID, "error", err)
		}
		return sessions.AsOf(s, m.look(r, found && err == nil), now)
	case sessions.Available, sessions.Paused:
		if now.Expired(s) {
			s.State = sessions.Expired
		}
	}
	return s
}
