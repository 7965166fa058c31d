// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Patched returns the session with the changes, or says why they are refused.
func Patched(s Session, p SessionPatch) (Session, error) {
	before := s
	set(&s.Type, p.Type)
	set(&s.Time, p.Time)
	set(&s.TimeUsed, p.TimeUsed)
	set(&s.Bytes, p.Bytes)
	set(&s.Used, p.Used)
	set(&s.DownBPS, p.DownBPS)
	set(&s.UpBPS, p.UpBPS)
	set(&s.UseGlobalSpeed, p.UseGlobalSpeed)
	if p.ExpDays != nil {
		s.ExpDays = cloned(*p.ExpDays)
	}
	if err := s.add(p); err != nil {
		return before, err
	}
	if err := s.setStarted(p.Started); err != nil {
		return before, err
	}
	if s.RemainingTime() > before.RemainingTime() || s.RemainingBytes() > before.RemainingBytes() {
		s.Meter.Low = false // a new allowance, a new warning
	}
	return s, CheckPurchase(s)
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// add puts a top-up on the allowances, and on what is used what was consumed
// elsewhere; the sums are checked with the rest.
func (s *Session) add(p SessionPatch) error {
	if err := increaseTime("add_time_secs", &s.Time, p.AddTime); err != nil {
		return err
	}
	if err := increaseBytes("add_data_bytes", &s.Bytes, p.AddBytes); err != nil {
		return err
	}
	if err := increaseTime("add_time_used_secs", &s.TimeUsed, p.AddTimeUsed); err != nil {
		return err
	}
	return increaseBytes("add_data_used_bytes", &s.Used, p.AddUsed)
}

func increaseTime(field string, total, extra *time.Duration) error {
	if extra == nil {
		return nil
	}
	if *extra <= 0 || *extra > maxTime {
		return Invalidf(field, "%s is out of range (above 0, at most %d hours)", *extra, maxTime/time.Hour)
	}
	*total = addTime(*total, *extra)
	return nil
}

func increaseBytes(field string, total, extra *uint64) error {
	if extra == nil {
		return nil
	}
	if *extra == 0 || *extra > maxBytes {
		return Invalidf(field, "%d is out of range (1 to %d)", *extra, uint64(maxBytes))
	}
	*total = addBytes(*total, *extra)
	return nil
}

func (s *Session) setStarted(started *time.Time) error {
	if started == nil {
		return nil
	}
	if started.Before(dataplane.EarliestClock) {
		return Invalidf("started_at", "%s is before %s, which no set clock shows", started.Format(time.RFC3339), dataplane.EarliestClock.Format(time.DateOnly))
	}
	s.Started = *started
	return nil
}

// ChangesBalance reports whether the patch can give a session something left again.
func (p SessionPatch) ChangesBalance() bool {
	return p.Type != nil || p.Time != nil || p.TimeUsed != nil || p.Bytes != nil || p.Used != nil ||
		p.AddTime != nil || p.AddBytes != nil || p.AddTimeUsed != nil || p.AddUsed != nil ||
		p.Started != nil || p.ExpDays != nil
}

// SessionSpec is a purchase.
type SessionSpec struct {
	Device         DeviceID
	Type           Type
	Time           time.Duration
	Bytes          uint64 // wire bytes, both directions summed
	ExpDays        *uint  // nil: never expires
	DownBPS, UpBPS uint64 // bit/s, 0 for no limit
	UseGlobalSpeed bool
	Reference      string // of the caller, unique; empty: none
}

// Session is the purchase as it is stored, but for what the store and the clock say.
func (spec SessionSpec) Session() Session {
	return Session{
		Device: spec.Device, Provider: LocalProvider, Type: spec.Type, State: Available,
		Time: spec.Time, Bytes: spec.Bytes, ExpDays: cloned(spec.ExpDays),
		DownBPS: spec.DownBPS, UpBPS: spec.UpBPS, UseGlobalSpeed: spec.UseGlobalSpeed,
		Reference: spec.Reference,
	}
}

// SessionPatch changes those fields of a session that are not nil. Time and Bytes
// are new totals, AddTime and AddBytes come on top.
type SessionPatch struct {
	Type           *Type
	Time, TimeUsed *time.Duration
	Bytes, Used    *uint64
	AddTime        *time.Duration
	AddBytes       *uint64
	AddTimeUsed    *time.Duration // on top of what is debited
	AddUsed        *uint64
	Started        *time.Time // first start, from which the expiry counts
	ExpDays        **uint     // pointer to nil: never expires
	DownBPS, UpBPS *uint64
	UseGlobalSpeed *bool
}

func cloned(days *uint) *uint {
	if days == nil {
		return nil
	}
	d := *days
	return &d
}

// Purchase is a session that was just bought, with the code by which the customer can
// take it to another device. The code is not stored, and cannot be shown again.
type Purchase struct {
	Session
	Claim string
}
