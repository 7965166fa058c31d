// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Clock tells the time. Rules never read the machine's clocks themselves.
type Clock interface {
	Now() time.Time           // wall clock: for expiry and records only
	Boot() dataplane.Boottime // CLOCK_BOOTTIME: for used time
	BootID() string           // changes when the machine boots
	Synced() bool             // the wall clock is kept by NTP
}

// Enforcer is the kernel as the rules see it; [dataplane.Dataplane] is the real one.
// Safe for concurrent use. All calls are idempotent.
type Enforcer interface {
	// Grant makes or replaces the rule of a MAC, its account's counter first.
	// When it returns nil the next packet is judged by the rule.
	// It fails with dataplane.ErrFull when max_clients rules exist.
	Grant(dataplane.MAC, dataplane.Rule) error
	// Revoke removes the rule of a MAC; the account's counter stays readable.
	Revoke(dataplane.MAC) error
	// Read returns the counters of one account, or dataplane.ErrNoAccount.
	Read(dataplane.Account) (dataplane.Reading, error)
	// ReadAll visits the counters of every account, some at a time, until visit returns
	// false. The slice is used again.
	ReadAll(visit func([]dataplane.Reading) bool) error
	// Forget removes the counter of an account that no rule names any more.
	Forget(dataplane.Account) error
	// Rule returns the rule of a MAC, the zero one for none.
	Rule(dataplane.MAC) dataplane.Rule
	// Rules visits what is enforced. What changes meanwhile may be left out.
	Rules() iter.Seq2[dataplane.MAC, dataplane.Rule]
}

// Store keeps what was bought. A transaction sees its own writes and is serializable.
// A function that returns an error leaves nothing behind. Safe for concurrent use;
// one writing transaction blocks while another runs.
type Store interface {
	View(ctx context.Context, fn func(Tx) error) error
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
	Device(DeviceID) (Device, error)
	DeviceByMAC(dataplane.MAC) (Device, error)
	DeviceByIP(netip.Addr) (Device, error) // whose IPs it is one of
	Devices() ([]Device, error)            // by id
	CountDevices() (int, error)
	// PutDevice inserts when ID is 0, and sets it; Conflict on a taken MAC. An address
	// belongs to one device: others lose those of IPs.
	PutDevice(*Device) error
	Session(SessionID) (Session, error)
	Sessions(SessionFilter) ([]Session, error) // by id
	// PastExpiry returns available and paused sessions that expired up to now, the
	// earliest first; at most limit of them.
	PastExpiry(now time.Time, limit int) ([]Session, error)
	RunningOf([]DeviceID) ([]Session, error) // what devices run, by id
	RunningDevices() ([]DeviceID, error)     // those that run a session, by id
	CountSessions() (map[State]int, error)   // states without sessions may be left out
	PutSession(*Session) error               // inserts when ID is 0 and sets it
	DeleteSession(SessionID) error           // and its claim
	PutClaim(ClaimHash, SessionID) error     // a session has at most one
	Claim(ClaimHash) (SessionID, error)
	DeleteClaim(SessionID) error
	AppendEvent(*Event) error // sets Seq, one more than the last
	Events(after int64, limit int) ([]Event, error)
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

// SessionFilter selects sessions; its zero value selects all.
type SessionFilter struct {
	Device  DeviceID  // 0: of every device
	States  []State   // empty: in every state
	Unsaved bool      // those that their provider does not know the latest of
	After   SessionID // with ids above; for one page after another
	Limit   int       // the first ones only; 0: all
}

// ProviderRecord is a registered provider, kept so that an agent that restarts
// can call it again.
type ProviderRecord struct {
	Name   string
	Socket string // path of the Unix socket on which the provider's process answers
}
