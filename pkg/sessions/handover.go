// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// handoverLead is how long before its end by time a session hands over to the next:
// longer than the store and the kernel take, so that the customer sees no gap. The
// time of each session is charged as if it had been at the end.
const handoverLead = 20 * time.Millisecond

// handsOver reports a session that ends by time alone. Where bytes are bought, those
// of the last moment would be charged to the wrong session.
func handsOver(s Session) bool {
	return s.Provider == LocalProvider && s.timed() && !s.metered()
}

// handover is when a running session may hand over, 0 for never.
func handover(s Session, now moment) dataplane.Boottime {
	end := deadline(s, now)
	if !handsOver(s) || end <= dataplane.Boottime(handoverLead) {
		return end
	}
	return end.Add(-handoverLead)
}

// handOver starts the next session of those devices whose session is about to end by
// time, and returns the others that are due.
func (m *Manager) handOver(ctx context.Context, due []DeviceID) (others []DeviceID, err error) {
	for _, id := range due {
		s, _, running := m.live.running(id)
		if !running {
			continue
		}
		now := m.now()
		end := deadline(s, now)
		if !handsOver(s) || now.boot >= end || now.boot < handover(s, now) {
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
func (m *Manager) handOverOne(ctx context.Context, id DeviceID, end dataplane.Boottime) error {
	defer m.locks.lock(id)()
	next := successor{}
	var err error
	if !m.providers.any() { // they are asked when it is over
		if next, err = m.successor(ctx, id); err != nil {
			return err
		}
	}
	s, _, running := m.live.running(id)
	if next.session == nil || !handsOver(*next.session) || !running || deadline(s, m.now()) != end {
		m.live.postpone(id, end)
		return nil
	}
	read, err := m.countsOf([]Session{s})
	if err != nil {
		return err
	}
	t := settlement{devices: []DeviceID{id}, read: read, next: map[DeviceID]successor{id: next}}
	err = m.commit(ctx, func(c *change) error {
		c.now = c.now.at(end)
		return t.run(c)
	})
	if err != nil {
		return err
	}
	m.follow(ctx, &t)
	return nil
}
