// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func (s *clientSession) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stored("reloaded"); err != nil {
		return err
	}
	fresh, err := s.client.Session(ctx, s.base.ID)
	if err == nil {
		s.take(fresh)
	}
	return err
}

func (s *clientSession) Save(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err; err != nil {
		s.err = nil
		return err
	}
	patch, changed := s.changes()
	if !changed {
		return nil
	}
	if err := s.stored("saved"); err != nil {
		return err
	}
	saved, err := s.client.UpdateSession(ctx, s.base.ID, patch)
	if err == nil {
		s.take(saved)
	}
	return err
}

// stored refuses what the agent has no row for yet.
func (s *clientSession) stored(what string) error {
	if s.base.ID == 0 {
		return sessions.Errorf(sessions.Conflict, "the session is still at its provider %q; it can be %s once it was started", s.base.Provider, what)
	}
	return nil
}

func (s *clientSession) take(fresh Session) {
	s.base, s.now = fresh, fresh
	s.timeAdded, s.dataAdded, s.err = nil, nil, nil
}

// changes returns what Save sends. Consumption that was only added goes as an
// addition, on top of what the agent has debited by then.
func (s *clientSession) changes() (patch SessionPatch, changed bool) {
	now := s.now
	if s.timeAdded != nil {
		now.TimeUsedSecs -= *s.timeAdded
	}
	if s.dataAdded != nil {
		now.DataUsedBytes -= *s.dataAdded
	}
	patch, changed = diff(s.base, now)
	patch.AddTimeUsedSecs, patch.AddDataUsedBytes = s.timeAdded, s.dataAdded
	return patch, changed || s.timeAdded != nil || s.dataAdded != nil
}

// diff returns what makes now of base.
func diff(base, now Session) (patch SessionPatch, changed bool) {
	patch = SessionPatch{
		TimeSecs:       ifChanged(base.TimeSecs, now.TimeSecs, &changed),
		DataBytes:      ifChanged(base.DataBytes, now.DataBytes, &changed),
		TimeUsedSecs:   ifChanged(base.TimeUsedSecs, now.TimeUsedSecs, &changed),
		DataUsedBytes:  ifChanged(base.DataUsedBytes, now.DataUsedBytes, &changed),
		DownBPS:        ifChanged(base.DownBPS, now.DownBPS, &changed),
		UpBPS:          ifChanged(base.UpBPS, now.UpBPS, &changed),
		UseGlobalSpeed: ifChanged(base.UseGlobalSpeed, now.UseGlobalSpeed, &changed),
	}
	if !same(base.ExpDays, now.ExpDays) {
		patch.ExpDays = Expiry{Set: true, Days: now.ExpDays}
		changed = true
	}
	if !sameTime(base.StartedAt, now.StartedAt) {
		patch.StartedAt = now.StartedAt
		changed = true
	}
	return patch, changed
}

// plus adds to a sum that is nil while nothing was added.
func plus[T int64 | uint64](sum *T, more T) *T {
	if sum != nil {
		more += *sum
	}
	if more == 0 {
		return nil
	}
	return &more
}

func ifChanged[T comparable](before, now T, changed *bool) *T {
	if before == now {
		return nil
	}
	*changed = true
	return &now
}

func same(a, b *uint) bool { return a == b || a != nil && b != nil && *a == *b }

func sameTime(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
