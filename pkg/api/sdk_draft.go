// SPDX-License-Identifier: Apache-2.0

package api

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// draft is a session with changes that are not saved. Safe for concurrent use; its lock
// is never held over a call.
type draft struct {
	mu    sync.Mutex
	base  Session // as fetched
	now   Session // with the changes
	added addition
	err   error // of the first setter whose value was refused
}

// addition is consumption that was added, and not set; nil while none was.
type addition struct {
	secs  *int64
	bytes *uint64
}

// without returns a session before an addition.
func (a addition) without(s Session) Session {
	if a.secs != nil {
		s.TimeUsedSecs -= *a.secs
	}
	if a.bytes != nil {
		s.DataUsedBytes -= *a.bytes
	}
	return s
}

// with returns a session after it.
func (a addition) with(s Session) Session {
	if a.secs != nil {
		s.TimeUsedSecs += *a.secs
	}
	if a.bytes != nil {
		s.DataUsedBytes += *a.bytes
	}
	return s
}

func (d *draft) get() Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// set changes the draft, unless the value is refused.
func (d *draft) set(change func(now *Session) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := change(&d.now); err != nil && d.err == nil {
		d.err = err
	}
}

// stored returns the session's id, and refuses what the agent has no row for yet.
func (d *draft) stored(what string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.base.ID, d.mustBeStored(what)
}

// mustBeStored is called with the lock.
func (d *draft) mustBeStored(what string) error {
	if d.base.ID == 0 {
		return sessions.Errorf(Conflict, "the session is still at its provider %q; it can be %s once it was started", d.base.Provider, what)
	}
	return nil
}

// sent is what a Save that runs has sent: the session with the changes, and what of its
// consumption was added.
type sent struct {
	id    int64
	now   Session
	added addition
}

// send returns what is to be saved, nil for nothing. Consumption that was only added
// goes as an addition, on top of what the agent has debited by then.
func (d *draft) send() (*sent, SessionPatch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err; err != nil {
		d.err = nil
		return nil, SessionPatch{}, err
	}
	patch, changed := diff(d.base, d.added.without(d.now))
	patch.AddTimeUsedSecs, patch.AddDataUsedBytes = d.added.secs, d.added.bytes
	if !changed && d.added == (addition{}) {
		return nil, SessionPatch{}, nil
	}
	if err := d.mustBeStored("saved"); err != nil {
		return nil, SessionPatch{}, err
	}
	s := &sent{id: d.base.ID, now: d.now, added: d.added}
	d.added = addition{}
	return s, patch, nil
}

// saved takes over what the agent has now, below what was changed while it was called.
func (d *draft) saved(s *sent, fresh Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	meanwhile, _ := diff(s.now, d.added.without(d.now))
	d.base, d.now = fresh, d.added.with(overlay(fresh, meanwhile))
}

// failed keeps what was added for the next Save, unless it was set meanwhile.
func (d *draft) failed(s *sent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.added.without(d.now)
	if s.added.secs != nil && now.TimeUsedSecs == s.now.TimeUsedSecs {
		d.added.secs = plus(d.added.secs, *s.added.secs)
	}
	if s.added.bytes != nil && now.DataUsedBytes == s.now.DataUsedBytes {
		d.added.bytes = plus(d.added.bytes, *s.added.bytes)
	}
}

// replace drops what was not saved.
func (d *draft) replace(fresh Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base, d.now, d.added, d.err = fresh, fresh, addition{}, nil
}

// overlay returns a session with the changes of a patch that diff made.
func overlay(s Session, patch SessionPatch) Session {
	assignIf(&s.TimeSecs, patch.TimeSecs)
	assignIf(&s.DataBytes, patch.DataBytes)
	assignIf(&s.TimeUsedSecs, patch.TimeUsedSecs)
	assignIf(&s.DataUsedBytes, patch.DataUsedBytes)
	assignIf(&s.DownBPS, patch.DownBPS)
	assignIf(&s.UpBPS, patch.UpBPS)
	assignIf(&s.UseGlobalSpeed, patch.UseGlobalSpeed)
	if patch.ExpDays.Set {
		s.ExpDays = patch.ExpDays.Days
	}
	if patch.StartedAt != nil {
		s.StartedAt = patch.StartedAt
	}
	return s
}

func assignIf[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
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
