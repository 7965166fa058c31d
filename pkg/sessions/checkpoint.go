// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Checkpoint is how far the running sessions had come at one instant. It is written
// instead of a row for each session, for the machine that loses its counters by a power
// cut. An agent that still finds the counters needs none.
//
// A count is a reading that is as good as any: to settle it twice debits once, and
// where the row knows more it changes nothing.
type Checkpoint struct {
	Boot  string
	At    dataplane.Boottime // time of all running sessions is used up to here
	Epoch uint64
	Spent []Count   // of sessions whose rows say less
	Known time.Time // wall time at At by the clock that was believed last, or the earliest that it can be; zero: never
}

// KnownAt is Known at another boot time. In a later boot it is the earliest wall time that
// this can be, as if the machine had been off for no time.
func (k Checkpoint) KnownAt(boot string, at dataplane.Boottime) time.Time {
	switch {
	case k.Known.IsZero():
		return k.Known
	case k.Boot != boot:
		return k.Known.Add(time.Duration(at))
	}
	return k.Known.Add(at.Sub(k.At))
}

// Count is what an account had counted.
type Count struct {
	Account dataplane.Account
	Spent   uint64
}

// CheckpointIndex are marks by account.
type CheckpointIndex struct {
	Checkpoint
	spent map[dataplane.Account]uint64
}

// Index returns the checkpoint with its counts by account.
func (k Checkpoint) Index() CheckpointIndex {
	spent := make(map[dataplane.Account]uint64, len(k.Spent))
	for _, mark := range k.Spent {
		spent[mark.Account] = mark.Spent
	}
	return CheckpointIndex{k, spent}
}

// Debit debits to a running session what its mark says. A row that was written
// later, as of a session that was started again, says it all. The wall clock of the
// marks is not known, so that no expiry bounds them: what had expired was ended then.
func (k CheckpointIndex) Debit(s *Session) {
	if s.State != Running || s.Meter.Boot != k.Boot || s.Meter.At > k.At {
		return
	}
	if count, ok := k.spent[s.Account()]; ok {
		DebitBytes(s, dataplane.Reading{Epoch: k.Epoch, Counters: dataplane.Counters{
			UpBytes: count, LimitDrops: s.Meter.Since(k.Epoch).Drops,
		}})
	}
	DebitTime(s, k.At, Instant{Boot: k.At, BootID: k.Boot})
}
