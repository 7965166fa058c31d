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
	patch, changed := diff(s.base, s.now)
	if !changed {
		return nil
	}
	if err := s.stored("saved"); err != nil {
		return err
	}
	if !sameTime(s.base.StartedAt, s.now.StartedAt) {
		return sessions.Invalidf("started_at", "%v cannot be set: the agent sets it when a session first runs", s.now.StartedAt)
	}
	if err := s.rebase(ctx, &patch); err != nil {
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
	s.timeUsedSet, s.dataUsedSet, s.err = false, false, nil
}

// rebase puts consumption that was added, not set, on top of what the agent has
// debited since the session was fetched.
func (s *clientSession) rebase(ctx context.Context, patch *SessionPatch) error {
	addTime := patch.TimeUsedSecs != nil && !s.timeUsedSet
	addData := patch.DataUsedBytes != nil && !s.dataUsedSet
	if !addTime && !addData {
		return nil
	}
	fresh, err := s.client.Session(ctx, s.base.ID)
	if err != nil {
		return err
	}
	if addTime {
		total := fresh.TimeUsedSecs + s.now.TimeUsedSecs - s.base.TimeUsedSecs
		patch.TimeUsedSecs = &total
	}
	if addData {
		total := fresh.DataUsedBytes + s.now.DataUsedBytes - s.base.DataUsedBytes
		patch.DataUsedBytes = &total
	}
	return nil
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
	return patch, changed || !sameTime(base.StartedAt, now.StartedAt)
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
