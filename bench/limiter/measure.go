// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	// echoFrom is when the echoes beside the flows begin, after their first byte.
	echoFrom = time.Second
	// lead is the time to get all ready before the flows start.
	lead = 20 * time.Millisecond
	// lateness of the delay line beyond this makes a cell noisy.
	lateness = 700 * time.Microsecond
)

// result is what a subject did in a cell.
type result struct {
	runs          int     // of which these are the middle figures
	goodput       float64 // of what the limit allows after headers, in the steady part
	start         float64 // the same from the first byte on
	jain          float64
	retransmitted float64       // share of the bytes sent
	echoLost      float64       // share
	echoAdded     time.Duration // to the middle one
	line          lab.DelayStats
}

// noisy says whether the machine disturbed the measurement: an echo that is faster
// beside a load was held up without it.
func (r result) noisy() bool {
	return r.line.Dropped > 0 || r.line.Failed > 0 || r.line.Late > lateness || r.echoAdded < -time.Millisecond
}

// measure runs a cell in a kiosk of its own.
func measure(ctx context.Context, by subject, c cell) (r result, err error) {
	config := lab.KioskConfig{Offloads: lab.OffloadsOff, Delay: c.rtt / 2}
	if c.supers {
		config.Offloads = lab.OffloadsOn
	}
	err = by.inForce(ctx, config, c.bitsPerSecond(), func(k *lab.Kiosk, _ limit) error {
		if r, err = load(ctx, k, c, by); err != nil {
			return err
		}
		r.line, err = k.DelayStats()
		return err
	})
	return r, err
}

// load runs the flows of a cell with echoes beside them.
func load(ctx context.Context, k *lab.Kiosk, c cell, s subject) (r result, err error) {
	stop, err := k.Server.ServeEcho(echoPort)
	if err != nil {
		return r, err
	}
	defer stop()
	idle, err := echo(ctx, k, time.Now().Add(lead), idleEchoes, idleBeat)
	if err != nil {
		return r, fmt.Errorf("echo without load: %w", err)
	}
	if len(idle.took) == 0 {
		return r, errors.New("no echo comes back without load")
	}
	all, err := connect(ctx, k, c)
	if err != nil {
		all.close()
		return r, fmt.Errorf("connect: %w", err)
	}
	first := time.Now().Add(c.rtt / 2)
	var busy echoes
	var beside errgroup.Group
	beside.Go(func() (err error) {
		n := int((c.lasts - echoFrom) / echoBeat)
		busy, err = echo(ctx, k, first.Add(echoFrom), n, echoBeat)
		return err
	})
	err = all.run(ctx, first, c.lasts)
	if err = errors.Join(err, beside.Wait()); err != nil {
		return r, err
	}
	r = all.result(c, s)
	r.runs = 1
	r.echoLost = busy.lost()
	r.echoAdded = median(busy.took) - median(idle.took)
	return r, nil
}

func (all flows) result(c cell, s subject) (r result) {
	var total, steady float64
	var shares []float64
	var sent, again uint64
	for _, f := range all {
		share := float64(f.arrived.between(settling, c.lasts))
		shares = append(shares, share)
		steady += share
		total += float64(f.arrived.between(0, min(c.lasts, usual)))
		s, a := f.retransmitted()
		sent, again = sent+s, again+a
	}
	perSecond := c.bitsPerSecond() / 8 * s.most()
	r.goodput = steady / perSecond / (c.lasts - settling).Seconds()
	r.start = total / perSecond / min(c.lasts, usual).Seconds()
	r.jain = jain(shares)
	r.retransmitted = float64(again) / float64(max(1, sent))
	return r
}
