// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"
)

// given is a field of a request that has a value other than 0. It may have been paid
// for, so one that would have no effect is refused.
type given struct {
	field string
	is    bool
	needs need
}

type need uint8

const (
	timed need = iota
	metered
	ownSpeed
)

// CheckSpec checks a purchase before there is a device to sell it to: it leaves
// Device aside. Code Invalid, naming the field.
func CheckSpec(spec SessionSpec) error {
	s := spec.Session()
	if err := CheckPurchase(s); err != nil {
		return err
	}
	if err := CheckReference(spec.Reference); err != nil {
		return err
	}
	return checkUsed(s, []given{
		{"time_secs", spec.Time != 0, timed}, {"data_bytes", spec.Bytes != 0, metered},
		{"down_bps", spec.DownBPS != 0, ownSpeed}, {"up_bps", spec.UpBPS != 0, ownSpeed},
	})
}

// checkUsed refuses what a session does not use.
func checkUsed(s Session, fields []given) error {
	for _, f := range fields {
		switch {
		case !f.is:
		case f.needs == timed && !s.Type.Timed():
			return Invalidf(f.field, "a session of type %s is not bounded by time, so it would have no effect; data_bytes bounds it, or the type %s both", s.Type, TimeOrData)
		case f.needs == metered && !s.Type.Metered():
			return Invalidf(f.field, "a session of type %s is not bounded by data, so it would have no effect; time_secs bounds it, or the type %s both", s.Type, TimeOrData)
		case f.needs == ownSpeed && s.UseGlobalSpeed:
			return Invalidf(f.field, "the session has the global speed, so it would have no effect; use_global_speed false gives it its own")
		}
	}
	return nil
}

// CheckEffect refuses a patch of which something that was given has no effect: an amount
// that the type does not use, a speed beside the global one, a start that is yet to come,
// a top-up of a session that stays over. after is what Patched made of before. Code
// Invalid, naming the field and what would be effective.
func (p SessionPatch) CheckEffect(before, after Session, now Instant) error {
	speeds := p.UseGlobalSpeed == nil // given with it, they are for the time after it
	err := checkUsed(after, []given{
		{"time_secs", named(p.Time), timed}, {"add_time_secs", p.AddTime != nil, timed},
		{"data_bytes", named(p.Bytes), metered}, {"add_data_bytes", p.AddBytes != nil, metered},
		{"down_bps", speeds && named(p.DownBPS), ownSpeed}, {"up_bps", speeds && named(p.UpBPS), ownSpeed},
	})
	if err != nil {
		return err
	}
	if p.Started != nil && now.WallTrusted && p.Started.After(now.Wall.Add(time.Minute)) {
		return Invalidf("started_at", "%s is yet to come (it is %s)", p.Started.Format(time.RFC3339), now.Wall.Format(time.RFC3339))
	}
	field := p.raises(before, after)
	switch {
	case field == "":
		return nil
	case now.Expired(after):
		at, _ := after.Expires()
		days := int(now.Wall.Sub(after.Started)/(24*time.Hour)) + 1
		return Invalidf(field, "session %d expired at %s and would stay so; exp_days %d or more, or null, given as well makes it effective", after.ID, at.Format(time.RFC3339), days)
	case after.Type.Timed() && after.TimeUsed >= after.Time:
		return Invalidf(field, "session %d has no time left and would stay over; it is effective with more than %d s of add_time_secs", after.ID, (after.TimeUsed-after.Time)/time.Second)
	case after.Exhausted():
		return Invalidf(field, "session %d has no data left and would stay over; it is effective with more than %d bytes of add_data_bytes", after.ID, after.Used-after.Bytes)
	}
	return nil
}

// named reports a value other than 0.
func named[T comparable](value *T) bool {
	var zero T
	return value != nil && *value != zero
}

// raises returns the field by which a patch gives a session more than it had; empty: none.
func (p SessionPatch) raises(before, after Session) string {
	name := func(added bool, total, more string) string {
		if added {
			return more
		}
		return total
	}
	expires, bounded := after.Expires()
	former, wasBounded := before.Expires()
	switch {
	case after.Time > before.Time:
		return name(p.AddTime != nil, "time_secs", "add_time_secs")
	case after.Bytes > before.Bytes:
		return name(p.AddBytes != nil, "data_bytes", "add_data_bytes")
	case p.ExpDays != nil && bounded && wasBounded && expires.After(former):
		return "exp_days"
	}
	return ""
}
