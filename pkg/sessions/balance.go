// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"math"
	"time"
)

// mtu is what a client's link carries in one packet. The kernel closes an account
// when one packet does not fit any more, so less than this may be written off.
const mtu = 1500

// timed and metered say which allowances bound the session.
func (t Type) timed() bool      { return t == Time || t == TimeOrData }
func (s Session) timed() bool   { return s.Type.timed() }
func (s Session) metered() bool { return s.Type == Data || s.Type == TimeOrData }

// RemainingTime is what is left of the bought time; 0 for a data session.
func (s Session) RemainingTime() time.Duration {
	if !s.timed() || s.TimeUsed >= s.Time {
		return 0
	}
	return s.Time - s.TimeUsed
}

// RemainingBytes is what is left of the bought bytes; 0 for a time session.
// A consumed session may show less than one packet that was written off.
func (s Session) RemainingBytes() uint64 {
	if !s.metered() || s.Used >= s.Bytes {
		return 0
	}
	return s.Bytes - s.Used
}

// spent reports whether one of the allowances that bound the session is used up.
func (s Session) spent() bool {
	return s.timed() && s.RemainingTime() == 0 || s.metered() && s.RemainingBytes() == 0
}

// Expires returns when the session ends whatever is left of it: ExpDays times 24
// hours after its first start. It has no expiry while it was never started, or
// when it was started under a clock that was plainly wrong.
func (s Session) Expires() (time.Time, bool) {
	if s.ExpDays == nil || s.Started.Before(earliest) {
		return time.Time{}, false
	}
	return s.Started.Add(time.Duration(*s.ExpDays) * 24 * time.Hour), true
}

func addBytes(a, b uint64) uint64 {
	if a > math.MaxInt64-min(b, math.MaxInt64) {
		return math.MaxInt64 // what a store can keep
	}
	return a + b
}

func addTime(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
