// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// handOver starts the next session of those devices whose session is about to end by
// time, and returns the others that are due.
func (sr *Settler) handOver(ctx context.Context, due []sessions.DeviceID) (others []sessions.DeviceID, err error) {
	for _, id := range due {
		s, running := sr.table.Running(id)
		if !running {
			continue
		}
		now := sr.clock.Read()
		end := sessions.Deadline(s.Session, now)
		if !sessions.HandsOver(s.Session) || now.Boot >= end || now.Boot < sessions.HandoverAt(s.Session, now) {
			others = append(others, id)
			continue
		}
		if err := sr.handOverOne(ctx, id, end); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// handOverOne settles the session of a device as of its end, if another one of time is
// there to follow. Otherwise it waits for the end.
func (sr *Settler) handOverOne(ctx context.Context, id sessions.DeviceID, end dataplane.Boottime) error {
	held := sr.enforce.Lock(id)
	defer held.Unlock()
	now := sr.clock.Read()
	next := map[sessions.DeviceID]successor{}
	var err error
	if !sr.providers.Any() { // they are queried when it is over
		if next, err = sr.successors(ctx, held, []sessions.DeviceID{id}, now); err != nil {
			return err
		}
	}
	s, running := sr.table.Running(id)
	if next[id].session == nil || !sessions.HandsOver(*next[id].session) || !running || sessions.Deadline(s.Session, now) != end {
		sr.table.Postpone(id, end)
		return nil
	}
	read, err := sr.enforce.CountsOf([]sessions.Session{s.Session})
	if err != nil {
		return err
	}
	b := batch{devices: []sessions.DeviceID{id}, read: read}
	return sr.settle(ctx, held, &settlement{sr: sr, batch: b, next: next, asOf: end})
}
