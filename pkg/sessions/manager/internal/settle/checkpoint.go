// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
)

// scan looks at readings of everything.
func (sr *Settler) scan(readings iter.Seq[[]dataplane.Reading]) *running.Checkpoint {
	v := &running.Checkpoint{Now: sr.clock.Read(), Read: make(running.Readings)}
	v.Counts = sessions.Checkpoint{Boot: v.Now.BootID, At: v.Now.Boot, Spent: sr.state.marks[:0], Known: sr.clock.WallAt(v.Now.Boot)}
	sr.state.round++
	for some := range readings {
		sr.table.Scan(v, some, sr.state.round)
	}
	sr.table.ScanUnread(v, sr.state.round)
	sr.state.marks = v.Counts.Spent
	return v
}

// settleOver ends what is over and was not noticed, with counters read now.
func (sr *Settler) settleOver(ctx context.Context) error {
	for some := range slices.Chunk(sr.table.Devices(), ledger.BatchSize) {
		var closer []sessions.DeviceID
		read := make(running.Readings)
		now := sr.clock.Read()
		for _, id := range some {
			s, _, running := sr.table.Running(id)
			if !running {
				continue
			}
			r, err := sr.enforce.Read(s.ID.Account())
			if err != nil {
				return err
			}
			if sr.table.NeedsRow(s.ID, r, now) {
				closer = append(closer, id)
				if r != nil {
					read[r.Account] = *r
				}
			}
		}
		if err := sr.settleWith(ctx, closer, read, 0); err != nil {
			return err
		}
	}
	return nil
}

// ReadRunning visits the counters of what runs, a batch at a time.
func (sr *Settler) ReadRunning(visit func([]dataplane.Reading) bool) error {
	for some := range slices.Chunk(sr.table.Sessions(), ledger.BatchSize) {
		readings := make([]dataplane.Reading, 0, len(some))
		for _, id := range some {
			r, err := sr.enforce.Read(id.Account())
			if err != nil {
				return err
			}
			if r != nil {
				readings = append(readings, *r)
			}
		}
		if !visit(readings) {
			return nil
		}
	}
	return nil
}

// knownEvery is how often the wall time is written where nothing else is to be.
const knownEvery = time.Hour

// writeCheckpoint writes the marks, when they say something that the last ones did not.
func (sr *Settler) writeCheckpoint(ctx context.Context, v *running.Checkpoint) error {
	stale := v.Counts.Known.Sub(sr.state.known).Abs() >= knownEvery
	if !v.Timed && !v.Changed && !stale {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	sr.state.known = v.Counts.Known
	return sr.ledger.Store.PutCheckpoint(v.Counts)
}
