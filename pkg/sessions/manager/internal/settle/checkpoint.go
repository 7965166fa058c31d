// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
)

// Settle is a checkpoint; see manager.Manager.Settle.
func (sr *Settler) Settle(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	sr.settling.Lock()
	defer sr.settling.Unlock()
	err := sr.settleAll(ctx, readings)
	if err == nil {
		sr.repair(ctx)
	}
	sr.last.set(sr.clock.Now(), err)
	return err
}

func (sr *Settler) settleAll(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	v := sr.scan(readings)
	for some := range slices.Chunk(v.NeedRow, ledger.BatchSize) {
		b := batch{read: v.Read}
		for _, judged := range some {
			b.add(judged.Device, judged.Over)
		}
		if err := sr.settleBatch(ctx, b); err != nil {
			return err
		}
	}
	if err := sr.writeCheckpoint(ctx, v); err != nil {
		return err
	}
	return sr.settleOrphans(ctx, v)
}

// scan judges all running sessions by their readings.
func (sr *Settler) scan(readings iter.Seq[[]dataplane.Reading]) *running.Checkpoint {
	v := sr.table.NewCheckpoint(sr.clock.Read(), sr.state.counts)
	v.Counts.Known = sr.clock.WallAt(v.Now.Boot)
	for some := range readings {
		v.Scan(some)
	}
	v.ScanUnread()
	sr.state.counts = v.Counts.Spent
	return v
}

// ReadRunning visits the counters of what runs, a batch at a time.
func (sr *Settler) ReadRunning(visit func([]dataplane.Reading) bool) error {
	for some := range slices.Chunk(sr.table.Devices(), ledger.BatchSize) {
		readings := make([]dataplane.Reading, 0, len(some))
		for _, id := range some {
			s, running := sr.table.Running(id)
			if !running {
				continue
			}
			r, err := sr.enforce.Read(s.Account())
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

// writeCheckpoint writes the counts, when they differ from the last ones.
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

// repair brings those devices in line whose rule the kernel did not take, and,
// when the wall clock was set, those whose deadline depends on it.
func (sr *Settler) repair(ctx context.Context) {
	ids := sr.enforce.Repairs()
	if sr.clockWasSet() {
		ids = append(ids, sr.table.WithExpiry()...)
		sr.table.Recompute(sr.clock.Read())
	}
	for _, id := range ids {
		if err := sr.enforce.LockAndEnforce(ctx, id); err != nil {
			sr.enforce.RepairLater(id, err)
		}
	}
}

// clockWasSet reports a step of the wall clock since the last call, or that it can
// be believed only now.
func (sr *Settler) clockWasSet() bool {
	now := sr.clock.Read()
	offset := now.Wall.Sub(time.Unix(0, int64(now.Boot)))
	step := (offset - sr.state.offset).Abs()
	changed := step > time.Second || now.WallTrusted != sr.state.sane
	sr.state.offset, sr.state.sane = offset, now.WallTrusted
	return changed
}
