// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// apart returns the devices whose running session the kernel may not hold as it is
// remembered. It goes through the kernel's tables in their order: in another one, each
// look is at a part that has to be mapped first.
func (m *Manager) apart() ([]sessions.DeviceID, error) {
	m.settling.Lock()
	defer m.settling.Unlock()
	m.settle.round += 2
	read, whole := m.settle.round-1, m.settle.round
	now := m.now()
	err := m.kernel.ReadAll(func(some []dataplane.Reading) bool {
		m.live.counted(some, read)
		return true
	})
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "the kernel's counters cannot be read: %w", err)
	}
	for mac, rule := range m.kernel.Rules() {
		s, of, running := m.live.session(sessions.SessionID(rule.Account))
		if running && of == mac && sessions.Joined(s, rule, now) && sessions.SameRule(rule, m.rule(s, m.live.bound(s.ID), now)) {
			m.live.pass(s.ID, read, whole)
		}
	}
	return m.live.without(whole), nil
}

// counted notes of whom there is a reading that does not say less than the row.
func (l *liveTable) counted(readings []dataplane.Reading, round uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range readings {
		if e := l.of(&readings[i]); e != nil && e.row.Knows(&readings[i]) {
			e.round = round
		}
	}
}

// pass takes a session that came to one round to another.
func (l *liveTable) pass(id sessions.SessionID, from, to uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil && e.round == from {
		e.round = to
	}
}

// without returns the devices that did not come to a round, oldest first.
func (l *liveTable) without(round uint16) []sessions.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []sessions.DeviceID
	for id, e := range l.byDevice {
		if e.round != round {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
