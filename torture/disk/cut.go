// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// late is what a checkpoint may come late on a machine with much else to do.
const late = 2 * time.Second

// Cuts has the file system lose, at any time, all that was not synced, and the
// kernel its counters, as when the power fails: purchases that were answered stay,
// and at most one checkpoint of usage is given away.
func Cuts(ctx context.Context, o report.Options) (row report.Row, err error) {
	k, err := openKiosk(o)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	random := rand.New(rand.NewPCG(o.Seed, 2))
	row = report.Row{Fault: "unsynced writes lost", Most: mostRecovery, Purchases: report.Zero(0), Bytes: report.Zero(0)}
	for ctx.Err() == nil && row.Runs < o.Pick(2, 12) {
		length := checkpoint + late + time.Duration(random.Int64N(int64(3*time.Second)))
		if err := k.cutAfter(ctx, length, &row); err != nil {
			return row, fmt.Errorf("cut %d: %w\n%s", row.Runs+1, err, k.Agent.Log())
		}
	}
	row.Notes = []string{fmt.Sprintf("%d purchases answered", len(k.answered))}
	return row, ctx.Err()
}

func (k *kiosk) cutAfter(ctx context.Context, length time.Duration, row *report.Row) (err error) {
	t, err := k.traffic(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	sold := make(chan struct{})
	go func() {
		defer close(sold)
		for k.buy() == nil { // until the disk is gone
		}
	}()
	least, err := t.carriedUntil(ctx, length)
	if err != nil {
		return err
	}
	answered := k.count()
	if err := k.cut(); err != nil {
		return err
	}
	<-sold
	k.forgetAfter(answered)
	most, err := t.stop()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(k.disk.unmount(), k.disk.mount(), k.Agent.Start()); err != nil {
		return err
	}
	row.Recovery = max(row.Recovery, time.Since(began))
	after, err := k.Agent.Session(k.paid)
	if err != nil {
		return err
	}
	charged := int64(after.DataUsedBytes - t.used)
	row.Bytes.Value += max(0, charged-most, least-charged)
	if least == 0 {
		row.Failures = append(row.Failures, "nothing had to be charged before a cut: the loss of all usage would not be seen")
	}
	lost, err := k.lostPurchases()
	row.Purchases.Value += lost
	row.Runs++
	return err
}

// count is how many purchases were answered.
func (k *kiosk) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.answered)
}

// forgetAfter forgets the purchases behind the first n: ext4 has an fdatasync succeed that runs
// while it is shut down, and saves nothing (measured: 12 of 16). Without power none
// of them would have been answered.
func (k *kiosk) forgetAfter(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered = k.answered[:n]
}

// cut is the power cut. The agent dies, and the counts of the kernel with it.
func (k *kiosk) cut() error {
	at, err := os.Open(k.disk.at)
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	const shutdown, withoutFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	if err := unix.IoctlSetPointerInt(int(at.Fd()), shutdown, withoutFlush); err != nil {
		return fmt.Errorf("shut %s down: %w", k.disk.at, err)
	}
	if err := k.Agent.Kill(); err != nil {
		return err
	}
	_, err = k.Agent.Run("detach", "--config", k.Agent.Config())
	return err
}
