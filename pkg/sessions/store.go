// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Store keeps what was bought. A transaction sees its own writes and is serializable.
// A function that returns an error leaves nothing behind. Safe for concurrent use;
// one writing transaction blocks while another runs.
type Store interface {
	// View is for short reads: it may make an Update wait, so fn must not call one.
	View(ctx context.Context, fn func(Tx) error) error
	// Snapshot is for reads of many rows. It neither waits for an Update nor makes one
	// wait, and does not see what is committed meanwhile.
	Snapshot(ctx context.Context, fn func(Tx) error) error
	// Update returns nil when the transaction is on the disk.
	Update(ctx context.Context, fn func(Tx) error) error
	// Commit is Update without the wait for the disk. What it returned nil for
	// survives the end of this process, and is seen by all; the machine's end it
	// survives from the next Sync or Update on. Order is kept: nothing that was
	// committed later survives without it.
	Commit(ctx context.Context, fn func(Tx) error) error
	// Sync returns nil when all that was committed before is on the disk. Callers
	// that wait at the same time wait for the same write.
	Sync() error
	// PutCheckpoint replaces the checkpoint, and returns nil when it is on the disk.
	// Should the machine die meanwhile, the one before is there.
	PutCheckpoint(Checkpoint) error
	// Checkpoint returns the last one, the zero Checkpoint when there is none.
	Checkpoint() (Checkpoint, error)
}

// Tx is one transaction. Lookups of what does not exist fail with Code NotFound.
type Tx interface {
	Devices
	Sessions
	RunningSessions
	Claims
	Events
	Generations
	Providers
	KeptAnswers
}

// Devices are the client machines of a transaction.
type Devices interface {
	Device(DeviceID) (Device, error)
	DeviceByMAC(dataplane.MAC) (Device, error)
	DeviceByIP(netip.Addr) (Device, error) // whose IPs it is one of
	Devices(DeviceFilter) ([]Device, error)
	CountDevices() (int, error)
	// PutDevice inserts when ID is 0, and sets it; Conflict on a taken MAC. An address
	// belongs to one device: others lose those of IPs.
	PutDevice(*Device) error
	// ReserveDevices returns the first of n ids that no device had, and that PutDevice
	// gives to none.
	ReserveDevices(n int) (first DeviceID, err error)
	// InsertDevice is PutDevice of a new device under a reserved id.
	InsertDevice(Device) error
	DeleteDevice(DeviceID) error // and its addresses; Conflict while it has sessions
}

// Sessions are the purchases of a transaction.
type Sessions interface {
	Session(SessionID) (Session, error)
	Sessions(SessionFilter) ([]Session, error)
	// PastExpiry returns available and paused sessions that expired up to now, the
	// earliest first; at most limit of them.
	PastExpiry(now time.Time, limit int) ([]Session, error)
	// EndedBefore returns consumed and expired sessions that ended before a time and owe
	// their provider nothing, the earliest first; at most limit of them.
	EndedBefore(at time.Time, limit int) ([]Session, error)
	// Sold reports whether a purchase of LocalProvider was made at that very time.
	Sold(at time.Time) (bool, error)
	CountSessions() (map[State]int, error) // states without sessions may be left out
	// PutSession inserts when ID is 0, and sets it and Tag; Conflict on a taken Reference.
	PutSession(*Session) error
	DeleteSession(SessionID) error // and its claim
}

// RunningSessions are those of connected devices.
type RunningSessions interface {
	RunningOf([]DeviceID) ([]Session, error) // what devices run, by id
	RunningDevices() ([]DeviceID, error)     // those that run a session, by id
}

// Claims are the codes by which customers take a purchase to another device.
type Claims interface {
	// PutClaim gives a session its code, instead of the one it had; Conflict on one that is
	// another session's.
	PutClaim(ClaimHash, SessionID) error
	Claim(ClaimHash) (SessionID, error)
	ClaimOf(SessionID) (ClaimHash, error)
	DeleteClaim(SessionID) error
}

// Events is the log of transitions.
type Events interface {
	AppendEvent(*Event) error // sets Seq, one more than the last
	Events(after int64, limit int) ([]Event, error)
	EventRange() (first, last int64, err error) // numbers of those that are stored; 0: none
}

// Generations distinguish the numbers of the events, and of sessions in the kernel, from
// those of other histories of the database.
type Generations interface {
	Generation() (Generation, error)       // the latest
	LastEventOf(Generation) (int64, error) // number of its last event; 0: none
}

// KeptAnswers are those that callers may have again.
type KeptAnswers interface {
	Answer(key [sha256.Size]byte) (Answer, error)
	PutAnswer(Answer) error // replaces one of the same key
}

// Providers are the registered providers.
type Providers interface {
	Provider(name string) (ProviderRecord, error)
	Providers() ([]ProviderRecord, error) // in order of registration
	PutProvider(ProviderRecord) error     // replaces one of the same name, keeping its place
	DeleteProvider(name string) error
}

// View returns what fn reads in one transaction of store.
func View[T any](ctx context.Context, store Store, fn func(Tx) (T, error)) (T, error) {
	var value T
	err := store.View(ctx, func(tx Tx) (err error) {
		value, err = fn(tx)
		return err
	})
	return value, err
}

// Snapshot is [View] by [Store.Snapshot], for many rows.
func Snapshot[T any](ctx context.Context, store Store, fn func(Tx) (T, error)) (T, error) {
	var value T
	err := store.Snapshot(ctx, func(tx Tx) (err error) {
		value, err = fn(tx)
		return err
	})
	return value, err
}

// SessionFilter selects sessions, by id; its zero value selects all.
type SessionFilter struct {
	Device    DeviceID  // 0: of every device
	States    []State   // empty: in every state
	Reference string    // the one that has it; empty: whatever they have
	Unsaved   bool      // those that their provider does not know the latest of
	Since     time.Time // made then or later
	Query     string    // their device is selected by the Query of a DeviceFilter
	Newest    bool      // the largest id first
	After     SessionID // those that come after this one; for one page after another
	Limit     int       // the first ones only; 0: all
}

// DeviceFilter selects devices, by id; its zero value selects all.
type DeviceFilter struct {
	Since  time.Time // made then or later
	Query  string    // part of the MAC, of an address or of the hostname; the case of a-z is ignored
	Idle   time.Time // not seen since, and without sessions
	Newest bool      // the largest id first
	After  DeviceID  // those that come after this one; for one page after another
	Limit  int       // the first ones only; 0: all
}
