// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// trial is one load, and what was seen of it.
type trial struct {
	kiosk
	plan

	arrived             time.Duration // until all customers had bought and were connected
	watched             *flow.Flow
	idle, busy          latencies // of Connect
	before, peak, after size
	harassed            *harassment
	recovery            time.Duration
}

// run has emulated customers, one that is watched, and one that connects and disconnects.
func (t *trial) run(ctx context.Context) (row report.Row, err error) {
	if err := t.gather(ctx); err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, t.watched.Close()) }()
	for _, step := range []func(context.Context) error{t.rest, t.press, t.recover} {
		if err := step(ctx); err != nil {
			return row, err
		}
	}
	sent, missing, err := t.watched.Lost()
	if err != nil {
		return row, err
	}
	lost, err := t.lost(ctx, t.harassed.answered())
	return t.row(sent, missing, lost), err
}

func (t *trial) gather(ctx context.Context) (err error) {
	began := time.Now()
	if err := t.arrive(ctx, t.customers); err != nil {
		return err
	}
	t.arrived = time.Since(began)
	t.watched, err = t.watch(ctx)
	return err
}

func (t *trial) rest(ctx context.Context) (err error) {
	if t.idle, err = t.comeAndGo(ctx, t.connects, 0); err != nil {
		return err
	}
	t.before, err = t.size()
	return err
}

func (t *trial) press(ctx context.Context) (err error) {
	most := t.watchSize(ctx)
	if t.harassed, err = t.harass(ctx, t.customers); err == nil {
		t.busy, err = t.comeAndGo(ctx, t.connects, t.least)
		err = errors.Join(err, t.harassed.stop())
	}
	peak, sizeErr := most()
	t.peak = peak
	return errors.Join(err, sizeErr)
}

// recover waits until the daemon is as before.
func (t *trial) recover(ctx context.Context) (err error) {
	if !t.rid {
		if err := t.harassed.release(); err != nil {
			return err
		}
	}
	t.after, t.recovery, err = t.settle(ctx)
	if t.rid {
		err = errors.Join(err, t.harassed.release())
	}
	return err
}

func (t *trial) row(sent, missing int64, lost int) report.Row {
	row := report.Row{
		Fault: "load", Runs: 1, Purchases: report.Zero(int64(lost)), Packets: report.Zero(missing),
		Recovery: t.recovery, Most: patience, Failures: t.leaked(t.before, t.after),
		Notes: []string{
			fmt.Sprintf("%d customers, %.0f a second bought and connected", t.customers, float64(t.customers)/t.arrived.Seconds()),
			fmt.Sprintf("%.0f requests/s beside %d stuck clients", t.harassed.perSecond(), len(t.harassed.stuck)+len(t.harassed.deaf)),
			fmt.Sprintf("connect p50 %v, p99 %v; under load p50 %v, p99 %v", t.idle.at(50), t.idle.at(99), t.busy.at(50), t.busy.at(99)),
			fmt.Sprintf("memory %d, %d, %d MiB before, at most and after; descriptors %d, %d, %d",
				t.before.memory>>20, t.peak.memory>>20, t.after.memory>>20, t.before.open, t.peak.open, t.after.open),
			fmt.Sprintf("%d packets of a customer", sent),
		},
	}
	if t.peak.memory > t.before.memory+t.more*mostPeak {
		row.Failures = append(row.Failures, fmt.Sprintf("%d bytes of memory under load, %d before", t.peak.memory, t.before.memory))
	}
	return row
}
