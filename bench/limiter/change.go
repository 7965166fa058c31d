// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// change is another speed for a customer in the middle of a flood.
type change struct{ from, to float64 } // Mbit/s

var speedChanges = []change{{10, 2}, {2, 10}}

func (c change) String() string { return fmt.Sprintf("%g to %g Mbit/s udp down", c.from, c.to) }

// changes is a job for each change of speed and each subject.
func (s *study) changes() (jobs []job) {
	for _, c := range speedChanges {
		for _, by := range s.subjects {
			if s.Scale == report.Quick || !s.wanted(c.String(), by) {
				continue
			}
			jobs = append(jobs, job{mbits: 2 * max(c.from, c.to), run: func(ctx context.Context) error {
				return s.change(ctx, by, c)
			}})
		}
	}
	return jobs
}

// change measures what is delivered in the second after a change of speed.
func (s *study) change(ctx context.Context, by subject, c change) error {
	var delivered float64
	f := flood{mbits: c.from}
	err := by.inForce(ctx, lab.KioskConfig{Offloads: lab.OffloadsOff}, f.bitsPerSecond(), func(k *lab.Kiosk, force limit) error {
		stop, err := f.start(ctx, k, 2*max(c.from, c.to)*1e6)
		if err != nil {
			return err
		}
		if err = wait.For(ctx, f.filling()); err == nil {
			err = force.change(ctx, c.to*1e6)
		}
		if err == nil {
			delivered, err = f.delivered(ctx, force, time.Second)
		}
		_, stopped := stop()
		return errors.Join(err, stopped)
	})
	if err != nil {
		return fmt.Errorf("%s, %s: %w", by.name, c, err)
	}
	row := report.Row{Study: name, Cell: c.String(), Subject: by.name, Metric: "first second of a new speed", Value: delivered / c.to / 1e6}
	if by.name != htbSubject.name {
		// The new speed has a burst of its own.
		row.Goal, row.Bound = report.AtMost(1+flood{mbits: c.to}.depth()), report.AtMost(2)
	}
	s.out.Add(row)
	return nil
}
