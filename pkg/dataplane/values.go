// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"errors"
	"math"
	"net/netip"
	"time"
)

// Boottime is an instant on CLOCK_BOOTTIME, in nanoseconds since the kernel
// started, suspended time included (clock_gettime(2)). 0 stands for "none".
type Boottime int64

// Add returns b + d, saturating at the ends of the range.
func (b Boottime) Add(d time.Duration) Boottime {
	if d > 0 && int64(b) > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return b + Boottime(d)
}

// Sub returns b - earlier.
func (b Boottime) Sub(earlier Boottime) time.Duration { return time.Duration(b - earlier) }

// Account names a counter in the kernel. One session is one account for its
// whole life, so that a count that lands late reaches no other account.
type Account uint64

// TrustedAccount is the account of a trusted device: counted, never debited.
// Its top bit keeps it apart from the accounts of sessions.
func TrustedAccount(m MAC) Account {
	var v uint64
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return Account(1<<63 | v)
}

// NoLimit is the LimitBytes of a rule whose bytes are not bounded.
const NoLimit = math.MaxUint64

// Verdict says what the kernel does with a device that has a rule.
type Verdict uint8

// The verdicts. The zero value is no verdict, so that a forgotten field is refused.
const (
	Allow Verdict = iota + 1 // forward, within the rule's limits
	Block                    // drop everything, the pre-payment allowances too
)

// Rule is what the kernel enforces for one MAC. It is a value that the control
// plane writes whole; the counters live elsewhere and are not touched by it.
type Rule struct {
	Verdict    Verdict
	Account    Account  // where the bytes are counted; 0 only for Block
	LimitBytes uint64   // the account's Spent may reach this and not exceed it; NoLimit for none
	Deadline   Boottime // nothing passes from then on; 0 for never
	DownBPS    uint64   // bit/s of IP packets towards the client; 0 for no limit
	UpBPS      uint64   // bit/s of IP packets from the client; 0 for no limit
	Bound      [4]byte  // with Options.Bind, the only IPv4 address that is let through; zero for any
}

// Counters are what the kernel counted for one account since the account was
// made: cumulative, written by the kernel alone, and never reset.
// Bytes are wire bytes of forwarded IP packets, each segment of a super-packet
// with its own headers; local and dropped traffic is not in them.
type Counters struct {
	UpBytes, DownBytes     uint64
	UpPackets, DownPackets uint64   // wire packets
	RateDrops              uint64   // frames over the speed
	LimitDrops             uint64   // frames after the byte limit
	DeadlineDrops          uint64   // frames after the deadline
	LastSeen               Boottime // the client's last frame that passed; what is sent to it does not count
}

// Spent is what the byte limit is compared with.
func (c Counters) Spent() uint64 { return c.UpBytes + c.DownBytes }

// Reading is one account's counters at one time.
type Reading struct {
	Account  Account
	Counters Counters
	// Epoch identifies the kernel's set of counters. A baseline taken in another
	// epoch (before a reboot, or before a detach) means nothing in this one.
	Epoch uint64
	// Final is set when nothing can be added to the counters any more: no rule in force
	// names the account, and an RCU grace period has passed since the last one that did, so
	// that no packet judged by it is still in the programs. The dataplane sets it, from when
	// the rule was removed; for an account that it adopts without a rule, from its start.
	// A rule that names the account again clears it.
	Final bool
	// Slot is a small number that the account keeps while it lives, and no other account
	// has meanwhile: an index for tables of the caller.
	Slot uint32
}

// EventKind says what the kernel noticed.
type EventKind uint8

// The kinds of kernel events.
const (
	Exhausted      EventKind = iota + 1 // a packet did not fit into what is left of the byte limit
	DeadlinePassed                      // a packet came at or after the deadline
	Answered                            // a device that may not pass is answered, after none for ten minutes; of no account
)

// Event is sent by the kernel once for each limit or deadline that ends an account, and
// for devices that it answers, of which it leaves out some where there are more than one
// a second.
type Event struct {
	Kind    EventKind
	MAC     MAC
	Account Account
	At      Boottime
}

// NeighState says how current a Neighbor is. The kernel keeps entries of its tables long
// after the device left (struct ndmsg, NUD_* in linux/neighbour.h).
type NeighState uint8

// The states.
const (
	NeighStale     NeighState = iota + 1 // the table has the entry from some time before
	NeighUpdated                         // the kernel changed the entry; it may only have aged (NUD_STALE)
	NeighReachable                       // the device answered from there just now (NUD_REACHABLE)
)

// Neighbor is where the kernel has a client with a rule: at an IPv4 address, or on a
// port of a bridge.
type Neighbor struct {
	MAC     MAC
	Account Account    // of its rule
	Addr    netip.Addr // IPv4, or the zero Addr
	Port    string     // the interface, or ""
	State   NeighState
}

// Holder is a client that has an IP address, by the neighbour table of an interface.
type Holder struct {
	MAC       MAC
	Interface string
}

// Errors that callers act on. Others are internal.
var (
	ErrFull        = errors.New("the kernel's table of clients is full (max_clients)")
	ErrUnsupported = errors.New("this kernel lacks something the agent needs")
	ErrPermission  = errors.New("not permitted")
	ErrNoNeighbor  = errors.New("no such neighbour on a client-facing interface")
	ErrNoInterface = errors.New("no such client-facing interface")
	// ErrOtherVersion: the pinned maps are of another version, which continues to enforce.
	ErrOtherVersion = errors.New("the kernel holds the maps of another version")
	ErrNoAccount    = errors.New("no such account in the kernel")
)
