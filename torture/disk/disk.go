// SPDX-License-Identifier: Apache-2.0

// Package disk fills the agent's disk, has it stall, fail and lie, while customers are
// connected and others want to buy.
package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// fault is one way to hurt a disk.
type fault struct {
	name string
	hurt func(*kiosk) error
	heal func(*kiosk) error
	// says is what health and doctor say: meanwhile, or afterwards where the agent is
	// down meanwhile.
	says string
	down bool
	// stalls: doctor, which reads the disk, waits for it as well.
	stalls bool
	// refuses is whether a purchase is refused meanwhile, with the same words. Else it
	// waits, and is answered.
	refuses bool
}

var faults = []fault{
	{name: "disk full", hurt: (*kiosk).fill, heal: (*kiosk).empty, says: "make room", refuses: true},
	{name: "disk stalls", hurt: (*kiosk).freeze, heal: (*kiosk).thaw, says: "slow", stalls: true},
	{name: "database corrupt", hurt: (*kiosk).corrupt, heal: (*kiosk).start, says: "set aside", down: true},
	{name: "disk read-only", hurt: (*kiosk).fail, heal: (*kiosk).mend, says: "read-only", refuses: true},
}

// mostRecovery is until purchases are stored again, on a machine with much else to do.
const mostRecovery = time.Minute

// Run tries each fault on a kiosk with a customer that stays connected.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	for range o.Pick(1, 4) {
		some, failed := once(ctx, o)
		rows = merge(rows, some)
		if failed != nil || ctx.Err() != nil {
			return rows, errors.Join(failed, ctx.Err())
		}
	}
	return rows, nil
}

func once(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	k, err := openKiosk(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	for _, f := range faults {
		row, err := k.try(ctx, f)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return rows, fmt.Errorf("%s: %w\n%s", f.name, err, k.Agent.Log())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// merge adds up the runs of a fault, and keeps the worst of what was measured.
func merge(rows, more []report.Row) []report.Row {
	if len(rows) == 0 {
		return more
	}
	for i := range min(len(rows), len(more)) {
		a, b := &rows[i], more[i]
		a.Runs += b.Runs
		a.Purchases.Value += b.Purchases.Value
		a.Bytes.Value += b.Bytes.Value
		a.Packets.Value += b.Packets.Value
		a.Unpaid.Value += b.Unpaid.Value
		a.Recovery = max(a.Recovery, b.Recovery)
		a.Failures = append(a.Failures, b.Failures...)
	}
	return rows
}

// try hurts the disk for a while under traffic, and compares what was sent, carried,
// counted and stored.
func (k *kiosk) try(ctx context.Context, f fault) (row report.Row, err error) {
	row = report.Row{Fault: f.name, Runs: 1, Most: mostRecovery}
	traffic, err := k.traffic(ctx)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, traffic.close()) }()
	if err := f.hurt(k); err != nil {
		return row, fmt.Errorf("hurt: %w", err)
	}
	waiting := k.buyLater(f.down)
	if f.refuses {
		row.Failures = append(row.Failures, refused(<-waiting, f.says)...)
	}
	if !f.down {
		row.Failures = append(row.Failures, k.complains(ctx, f)...)
	}
	healed := time.Now()
	if err := f.heal(k); err != nil {
		return row, fmt.Errorf("heal: %w", err)
	}
	if !f.refuses {
		if err := <-waiting; err != nil {
			row.Failures = append(row.Failures, fmt.Sprintf("a purchase that could wait: %v", err))
		}
	}
	if err := k.sellAgain(ctx); err != nil {
		return row, err
	}
	row.Recovery = time.Since(healed)
	if f.down {
		row.Failures = append(row.Failures, k.complains(ctx, f)...)
		if err := k.tidy(); err != nil {
			return row, err
		}
	}
	row.Bytes, row.Packets, row.Unpaid, err = traffic.end()
	if err != nil {
		return row, err
	}
	lost, err := k.lostPurchases()
	row.Purchases = report.Zero(lost)
	return row, err
}

// refused says what is wrong with a refusal.
func refused(err error, says string) []string {
	switch {
	case err == nil:
		return []string{"a purchase was answered that the disk cannot have"}
	case !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "unavailable"):
		return []string{fmt.Sprintf("a purchase was refused without a word of %q and %q: %v", "unavailable", says, err)}
	}
	return nil
}

// complains waits until health says what is wrong, and looks whether doctor does.
func (k *kiosk) complains(ctx context.Context, f fault) (broken []string) {
	ctx, cancel := context.WithTimeout(ctx, mostRecovery)
	defer cancel()
	for {
		problems, err := k.problems()
		if strings.Contains(problems, f.says) {
			break
		}
		if wait.For(ctx, pollInterval) != nil {
			broken = append(broken, fmt.Sprintf("health does not say %q: %s %v", f.says, problems, err))
			break
		}
	}
	if f.stalls {
		return broken
	}
	if text, _ := k.Agent.Run("doctor", "--config", k.Agent.Config()); !strings.Contains(text, f.says) {
		broken = append(broken, fmt.Sprintf("doctor does not say %q: %s", f.says, text))
	}
	return broken
}
