// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// DeviceID is assigned by the store, from 1 up, and never reused.
type DeviceID int64

// SessionID is assigned by the store, from 1 up, and never reused.
type SessionID int64

// Account is the kernel counter of a session.
func (id SessionID) Account() dataplane.Account { return dataplane.Account(id) }

// Device is a client machine.
type Device struct {
	ID       DeviceID
	MAC      dataplane.MAC
	IPs      []netip.Addr // last known, most recent first
	Hostname string
	Created  time.Time
	Bound    netip.Addr // IPv4, of the last Connect, where the configuration binds to it
}

// Type says what a session is made of. The numbers are the seed API's.
type Type uint8

// The types of session.
const (
	Time       Type = 0 // ends when its time is used
	Data       Type = 1 // ends when its bytes are used
	TimeOrData Type = 2 // ends on whichever is used first
)

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

	// Token names the session inside its provider's process; empty for a local one.
	Token string
	// Unsaved says that the provider has not yet been told of the latest usage.
	// It outlives the agent, so that a save is sent again after a restart.
	Unsaved bool

	Meter Baseline
}

// Purchase is a session that was just bought, with the code by which the customer can
// take it to another device. The code is not stored: nobody can be told it again.
type Purchase struct {
	Session
	Claim string
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
