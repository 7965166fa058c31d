// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// handOver starts the next session of those devices whose session is about to end by
// time, and returns the others that are due.
func (m *Manager) handOver(ctx context.Context, due []sessions.DeviceID) (others []sessions.DeviceID, err error) {
	for _, id := range due {
		s, _, running := m.live.running(id)
		if !running {
			continue
		}
		now := m.now()
		end := sessions.Deadline(s, now)
		if !sessions.HandsOver(s) || now.Boot >= end || now.Boot < sessions.HandoverAt(s, now) {
			others = append(others, id)
			continue
		}
		if err := m.handOverOne(ctx, id, end); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// handOverOne settles the session of a device as of its end, if another one of time is
// there to follow. Otherwise it waits for the end.
func (m *Manager) handOverOne(ctx context.Context, id sessions.DeviceID, end dataplane.Boottime) error {
	defer m.locks.lock(id)()
	next := successor{}
	var err error
	if !m.providers.any() { // they are asked when it is over
		if next, err = m.successor(ctx, id); err != nil {
			return err
		}
	}
	s, _, running := m.live.running(id)
	if next.session == nil || !sessions.HandsOver(*next.session) || !running || sessions.Deadline(s, m.now()) != end {
		m.live.postpone(id, end)
		return nil
	}
	read, err := m.countsOf([]sessions.Session{s})
	if err != nil {
		return err
	}
	t := settlement{devices: []sessions.DeviceID{id}, read: read, next: map[sessions.DeviceID]successor{id: next}}
	err = m.commit(ctx, func(c *change) error {
		c.now = c.now.At(end)
		return t.run(c)
	})
	if err != nil {
		return err
	}
	m.follow(ctx, &t)
	return nil
}
