// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// mtu is what a client's link carries in one packet. The kernel closes an account
// when one packet does not fit any more, so less than this may be written off.
const mtu = 1500

// RemainingTime is what is left of the bought time; 0 for a data session.
func (s Session) RemainingTime() time.Duration {
	if !s.Type.Timed() || s.TimeUsed >= s.Time {
		return 0
	}
	return s.Time - s.TimeUsed
}

// RemainingBytes is what is left of the bought bytes; 0 for a time session.
// A consumed session may show less than one packet that was written off.
func (s Session) RemainingBytes() uint64 {
	if !s.Type.Metered() || s.Used >= s.Bytes {
		return 0
	}
	return s.Bytes - s.Used
}

// Exhausted reports whether one of the allowances that bound the session is used up.
func (s Session) Exhausted() bool {
	return s.Type.Timed() && s.TimeUsed >= s.Time || s.Type.Metered() && s.Used >= s.Bytes
}

// Expires returns when the session ends whatever is left of it: ExpDays times 24
// hours after its first start. It has no expiry while it was never started, or
// when it was started under a clock that was plainly wrong.
func (s Session) Expires() (time.Time, bool) {
	if s.ExpDays == nil || s.Started.Before(dataplane.EarliestClock) {
		return time.Time{}, false
	}
	return s.Started.Add(time.Duration(*s.ExpDays) * 24 * time.Hour), true
}

// TimeLeft is how long it takes from now until the bought time is used up or the session
// expires; false where neither will happen. It counts no further session of the device.
func (s Session) TimeLeft(now Instant) (time.Duration, bool) {
	left, bounded := s.RemainingTime(), s.Type.Timed()
	if at, ok := s.Expires(); ok && now.WallTrusted {
		if until := max(at.Sub(now.Wall), 0); !bounded || until < left {
			left, bounded = until, true
		}
	}
	return left, bounded
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

// IsLow reports whether no more than percent is left of an allowance that bounds
// the session.
func IsLow(s Session, percent int) bool {
	if percent <= 0 {
		return false
	}
	share := uint64(percent)
	return s.Type.Metered() && s.RemainingBytes() <= PercentOf(s.Bytes, share) ||
		s.Type.Timed() && uint64(s.RemainingTime()) <= PercentOf(uint64(s.Time), share)
}

// PercentOf does not overflow for what a store can keep.
func PercentOf(total, percent uint64) uint64 {
	return total/100*percent + total%100*percent/100
}

// LowBalanceAt is when a running session becomes low by time; 0 when it does not.
func LowBalanceAt(s Session, percent int) dataplane.Boottime {
	if percent <= 0 || !s.Type.Timed() || s.Meter.Low {
		return 0
	}
	left := s.RemainingTime() - time.Duration(PercentOf(uint64(s.Time), uint64(percent)))
	return max(1, s.Meter.At.Add(max(0, left)))
}

// SessionID is assigned by the store, from 1 up, and never reused.
type SessionID int64

// Type says what a session is made of. The numbers are the seed API's.
type Type uint8

// The types of session.
const (
	Time       Type = 0 // ends when its time is used
	Data       Type = 1 // ends when its bytes are used
	TimeOrData Type = 2 // ends on whichever is used first
)

// types is all that there is to say of a type: what it is called, and which
// allowances bound it. A new type is a line here.
var types = [...]struct {
	name           string
	timed, metered bool
}{
	Time:       {name: "time", timed: true},
	Data:       {name: "data", metered: true},
	TimeOrData: {name: "time_or_data", timed: true, metered: true},
}

// Types returns all types, in the order of their numbers.
func Types() []Type {
	all := make([]Type, len(types))
	for i := range all {
		all[i] = Type(i)
	}
	return all
}

// Valid reports whether t is one of the types.
func (t Type) Valid() bool { return int(t) < len(types) }

// String returns the name of the type, as the API writes it.
func (t Type) String() string {
	if !t.Valid() {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return types[t].name
}

// ParseType returns the type of a name, or of a number in its place; false when there
// is none.
func ParseType(text string) (Type, bool) {
	for t := range types {
		if text == types[t].name || text == strconv.Itoa(t) {
			return Type(t), true
		}
	}
	return 0, false
}

// Timed reports whether sessions of the type have a time allowance; false for an invalid
// type.
func (t Type) Timed() bool { return int(t) < len(types) && types[t].timed }

// Metered reports whether sessions of the type have a data allowance; false for an
// invalid type.
func (t Type) Metered() bool { return int(t) < len(types) && types[t].metered }

// State is where a session is in its life.
type State string

// The states. Consumed and Expired are final until a top-up.
const (
	Available State = "available" // bought, never started
	Running   State = "running"
	Paused    State = "paused" // started, keeps its balance
	Consumed  State = "consumed"
	Expired   State = "expired"
)

// States returns all states, in the order of a session's life.
func States() []State { return []State{Available, Running, Paused, Consumed, Expired} }

// Final reports a state in which a session stays until it is topped up.
func (s State) Final() bool { return s == Consumed || s == Expired }

// LocalProvider is the provider of sessions that this store sold.
const LocalProvider = "local"

// Session is a purchase of a device.
// Bytes are wire bytes, both directions summed; speeds are bit/s, 0 for no limit.
type Session struct {
	ID       SessionID
	Device   DeviceID
	Provider string
	Type     Type
	State    State

	Time     time.Duration // bought
	TimeUsed time.Duration // spent connected, on CLOCK_BOOTTIME
	Bytes    uint64        // bought
	Used     uint64        // debited

	DownBPS, UpBPS uint64
	UseGlobalSpeed bool

	ExpDays *uint     // nil: never expires
	Started time.Time // zero: never started
	Created time.Time
	Ended   time.Time // zero: it is not over

	Reference string // of the caller that sold it, unique; empty: none
	Tag       uint32 // of the generation in which the store gave the ID; see Account

	// Token names the session inside its provider's process; empty for a local one.
	Token string
	// Unsaved says that the latest usage was not delivered to the provider yet.
	// It outlives the agent, so that a save is sent again after a restart.
	Unsaved bool

	Meter Baseline
}

// Baseline says up to where the kernel's counts are already in Used and TimeUsed.
// It is stored in the session's row, in the transaction of the debit, and so makes
// settling idempotent: whatever is read twice is debited once.
type Baseline struct {
	Epoch uint64             // of the counters that Spent belongs to
	Spent uint64             // of the account, already debited
	Drops uint64             // LimitDrops of the account when Spent was read
	Boot  string             // boot that At belongs to
	At    dataplane.Boottime // time is debited up to here; 0 while not running
	Low   bool               // session.low was published for this allowance
}
