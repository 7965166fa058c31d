// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// handOver starts the next session of those devices whose session is about to end by
// time, and returns the others that are due.
func (sr *Settler) handOver(ctx context.Context, due []sessions.DeviceID) (others []sessions.DeviceID, err error) {
	for _, id := range due {
		s, _, running := sr.table.Running(id)
		if !running {
			continue
		}
		now := sr.clock.Read()
		end := sessions.Deadline(s, now)
		if !sessions.HandsOver(s) || now.Boot >= end || now.Boot < sessions.HandoverAt(s, now) {
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
	next := successor{}
	var err error
	if !sr.providers.Any() { // they are asked when it is over
		if next, err = sr.successor(ctx, held, id); err != nil {
			return err
		}
	}
	s, _, running := sr.table.Running(id)
	if next.session == nil || !sessions.HandsOver(*next.session) || !running || sessions.Deadline(s, sr.clock.Read()) != end {
		sr.table.Postpone(id, end)
		return nil
	}
	read, err := sr.enforce.CountsOf([]sessions.Session{s})
	if err != nil {
		return err
	}
	t := settlement{sr: sr, devices: []sessions.DeviceID{id}, read: read, next: map[sessions.DeviceID]successor{id: next}}
	err = sr.ledger.Commit(ctx, func(c *ledger.Tx) error {
		c.Now = c.Now.At(end)
		return t.run(c)
	})
	if err != nil {
		return err
	}
	sr.follow(ctx, held, &t)
	return nil
}
