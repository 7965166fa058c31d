// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"
)

// Outage is a registered provider that does not work.
type Outage struct {
	Provider string
	Since    time.Time // wall clock
	Cause    error     // of its first failure since then
}

// Status is a device as it is now.
type Status struct {
	Device    Device
	Connected bool     // packets pass
	Session   *Session // the running one, nil when there is none
	Traffic   Traffic  // of the running session, or of a trusted device
	At        Instant  // when it was so
}

// Traffic is what the kernel counted of one account. Speeds are in bit/s over at
// least half a second, 0 until there are two looks at it.
type Traffic struct {
	UpBytes, DownBytes     uint64
	UpPackets, DownPackets uint64
	DroppedPackets         uint64 // over the speed, the byte limit or the deadline
	UpBPS, DownBPS         uint64
	LastSeen               time.Time // the device's last packet that passed; zero: none yet
}

// Summary is the Manager at a glance.
type Summary struct {
	Health
	Devices    int // without visitors
	Visitors   int
	Connected  int // devices with a running session
	Sessions   map[State]int
	LastSeq    int64      // of the last event; 0: none
	Generation Generation // of the database to which LastSeq belongs
}

// Health is what works of the Manager, and what does not.
type Health struct {
	LastSettle time.Time // wall clock; zero: not yet
	SettleErr  error     // of the last one
	ClockSane  bool      // expiry is applied
	Outages    []Outage  // providers that do not work
}
