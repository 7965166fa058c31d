// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	fastFlows   = 4
	fastSettled = 2 * time.Second
	fastCounted = 5 * time.Second
	outOfReach  = 100_000 // Mbit/s
)

// fast is TCP in super-packets, without a delay: as fast as the machine goes.
type fast struct{ mbits float64 }

func (f fast) String() string {
	return fmt.Sprintf("%g Mbit/s tcp×%d down gso, no delay", f.mbits, fastFlows)
}

// fasts is a job for each fast speed and each subject, and one with a speed that is
// out of reach: what that uses is what the machine can do.
func (s *study) fasts() (jobs []job) {
	for _, f := range []fast{{1000}, {10_000}, {outOfReach}} {
		for i, by := range s.subjects {
			if s.Scale == report.Quick || f.mbits == outOfReach && i > 0 || !s.wanted(f.String(), by) {
				continue
			}
			jobs = append(jobs, job{mbits: f.mbits, run: func(ctx context.Context) error { return s.fast(ctx, by, f) }})
		}
	}
	return jobs
}

// fast measures how much of a speed is used, by the limiter's own counters.
func (s *study) fast(ctx context.Context, by subject, f fast) error {
	var delivered float64
	counting := flood{mbits: f.mbits}
	err := by.inForce(ctx, lab.KioskConfig{Offloads: lab.OffloadsOn}, counting.bitsPerSecond(), func(k *lab.Kiosk, force limit) error {
		stop, err := k.Server.ServeBulk(bulkPort)
		if err != nil {
			return err
		}
		defer stop()
		transfer, err := k.Customers[0].Download(netip.AddrPortFrom(k.Server.Addr4, bulkPort), fastFlows)
		if err != nil {
			return err
		}
		defer transfer.Stop()
		if err = wait.For(ctx, fastSettled); err == nil {
			delivered, err = counting.delivered(ctx, force, fastCounted)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s, %s: %w", by.name, f, err)
	}
	row := report.Row{Study: name, Cell: f.String(), At: f.mbits, Subject: by.name, Metric: "super-packets, of the speed", Value: delivered / counting.bitsPerSecond()}
	if by.name != htbSubject.name {
		// What TCP left unused before the counting may be used during it: one depth.
		row.Goal, row.Bound = report.AtMost(1+counting.depth()/fastCounted.Seconds()), report.AtMost(1.1)
	}
	s.out.Add(row, report.Row{Study: name, Cell: f.String(), At: f.mbits, Subject: by.name, Metric: "super-packets", Value: delivered / 1e6, Unit: "Mbit/s"})
	return nil
}
