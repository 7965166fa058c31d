// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Status is a device as it is now.
type Status struct {
	Device    Device
	Connected bool     // packets pass
	Session   *Session // the running one, nil when there is none
	Traffic   Traffic  // of the running session, or of a trusted device
}

// Traffic is what the kernel counted of one account. Speeds are in bit/s over at
// least half a second, 0 until there are two looks at it.
type Traffic struct {
	UpBytes, DownBytes     uint64
	UpPackets, DownPackets uint64
	DroppedPackets         uint64 // over the speed, the byte limit or the deadline
	UpBPS, DownBPS         uint64
	LastSeen               time.Time // zero: never
}

// Status returns a device with live figures: what is not yet settled is included.
// Codes: NotFound.
func (m *Manager) Status(ctx context.Context, id DeviceID) (Status, error) {
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return Status{}, err
	}
	return m.statusOf(d, s)
}

// statusOf adds live figures to a device and what it runs, nil for nothing.
func (m *Manager) statusOf(d Device, s *Session) (Status, error) {
	status := Status{Device: d}
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
		return Status{}, err
	}
	now := m.now()
	if s != nil {
		live := settled(*s, m.look(r, found), now)
		status.Session, status.Connected = &live, status.Connected || !live.spent() && !now.expired(live)
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

func (m *Manager) speedsOf(r dataplane.Reading, now moment) (up, down uint64) {
	if isTrusted(r.Account) {
		return m.rates.observe(r, now.boot)
	}
	return m.live.observe(r, now.boot, m.rates.memory)
}

func (m *Manager) traffic(r dataplane.Reading, now moment) Traffic {
	c := r.Counters
	up, down := m.speedsOf(r, now)
	return Traffic{
		UpBytes: c.UpBytes, DownBytes: c.DownBytes, UpPackets: c.UpPackets, DownPackets: c.DownPackets,
		DroppedPackets: c.RateDrops + c.LimitDrops + c.DeadlineDrops,
		UpBPS:          up, DownBPS: down,
		LastSeen: now.wallOf(c.LastSeen),
	}
}

// Current returns the device's running session with live figures. Codes: NotFound,
// NotConnected.
func (m *Manager) Current(ctx context.Context, id DeviceID) (Session, error) {
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return Session{}, err
	}
	if s == nil {
		return Session{}, Errorf(NotConnected, "device %d (%s) has no running session", id, d.MAC)
	}
	return m.overlay(*s, m.now()), nil
}

// Next returns what Connect would start if nothing ran. Codes: NotFound, NoSession.
func (m *Manager) Next(ctx context.Context, id DeviceID) (Session, error) {
	d, err := m.Device(ctx, id)
	if err != nil {
		return Session{}, err
	}
	if offers := m.ask(ctx, d); len(offers) > 0 {
		return m.preview(ctx, d, offers[0])
	}
	list, err := m.Sessions(ctx, SessionFilter{Device: id})
	if err != nil {
		return Session{}, err
	}
	s, ok := choose(localOnly(list), m.now())
	if !ok {
		return s, Errorf(NoSession, "device %d (%s) has nothing to consume: buy it a session first", id, d.MAC)
	}
	return s, nil
}

// Session returns a session; a running one with live figures. Codes: NotFound.
func (m *Manager) Session(ctx context.Context, id SessionID) (Session, error) {
	s, err := m.stored(ctx, id)
	if err != nil {
		return s, err
	}
	return m.overlay(s, m.now()), nil
}

// Sessions returns the selected sessions by id; running ones with live figures.
func (m *Manager) Sessions(ctx context.Context, filter SessionFilter) ([]Session, error) {
	var list []Session
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		list, err = tx.Sessions(filter)
		return err
	})
	now := m.now()
	for i := range list {
		list[i] = m.overlay(list[i], now)
	}
	return list, err
}

// overlay adds what is not yet settled. A count that cannot be read is left out.
func (m *Manager) overlay(s Session, now moment) Session {
	switch s.State {
	case Running:
		r, found, err := m.read(s.ID.Account())
		if err != nil {
			m.log.Warn("figures as of the last checkpoint", "session", s.ID, "error", err)
		}
		return settled(s, m.look(r, found && err == nil), now)
	case Available, Paused:
		if now.expired(s) {
			s.State = Expired
		}
	}
	return s
}
