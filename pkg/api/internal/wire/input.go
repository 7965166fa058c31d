// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The largest amounts: what the agent's time and the database's integers hold.
const (
	MaxSecs  = int64(math.MaxInt64 / time.Second)
	MaxBytes = math.MaxInt64
	MaxDays  = int64(math.MaxInt64 / (24 * time.Hour))
)

// Optional reads a field that may be left out, for which it returns nil; null is refused.
func Optional[T any](o *Object, field string, read func(string) T) *T {
	if !o.Has(field) {
		if o.HasNull(field) {
			o.Fail(field, "null is not a value; leave the field out to keep it")
		}
		return nil
	}
	value := read(field)
	return &value
}

// Secs reads a duration in whole seconds, at most MaxSecs.
func (o *Object) Secs(field string) time.Duration {
	return time.Duration(o.Whole(field, 0, MaxSecs)) * time.Second
}

// Amount reads a data amount in bytes, at most MaxBytes.
func (o *Object) Amount(field string) uint64 { return uint64(o.Whole(field, 0, MaxBytes)) }

// ExpDays reads exp_days, at most MaxDays; nil for no expiry.
func (o *Object) ExpDays() *uint {
	if !o.Has("exp_days") {
		return nil
	}
	days := uint(o.Whole("exp_days", 0, MaxDays))
	return &days
}

// SessionType takes the name or the number, as a number or as a string.
func (o *Object) SessionType(field string) sessions.Type {
	if !o.Has(field) {
		return 0
	}
	raw := string(o.fields[field])
	parsed, ok := sessions.ParseType(strings.Trim(raw, `"`))
	if !ok {
		o.Fail(field, "%s is not a session type (want time, data or time_or_data)", Quote([]byte(raw)))
	}
	return parsed
}

// DeviceRef takes an id as a number, or an id, MAC or IP as a string.
func (o *Object) DeviceRef(field string) string {
	raw := o.fields[field]
	switch {
	case !o.Has(field):
		o.Fail(field, "missing (want an id, a MAC or an IP)")
	case raw[0] == '"':
		return o.String(field)
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		o.Fail(field, "%s is neither an id, a MAC nor an IP", Quote(raw))
	default:
		return strconv.FormatInt(o.Whole(field, 1, math.MaxInt64), 10)
	}
	return ""
}

// Fraction reads seconds with a fraction.
func (o *Object) Fraction(field string) time.Duration {
	var secs float64
	switch {
	case o.Has(field) && json.Unmarshal(o.fields[field], &secs) != nil:
		o.Fail(field, "%s is not a number of seconds", Quote(o.fields[field]))
	case secs < 0:
		o.Fail(field, "%v is negative", secs)
	case secs >= float64(MaxSecs):
		o.Fail(field, "%v is too large (at most %d)", secs, MaxSecs)
	}
	return time.Duration(math.Round(secs * float64(time.Second)))
}

// TimeOf returns a time as it is written in JSON: UTC, and null for the zero time.
func TimeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// Each converts a slice; the result is never null in JSON.
func Each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, v := range in {
		out = append(out, convert(v))
	}
	return out
}
