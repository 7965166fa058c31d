// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"time"
)

// watched is what the daemon used while there were no calls.
type watched struct {
	took    time.Duration
	cpu     time.Duration // of all
	least   time.Duration // of the cheapest interval: a checkpoint, without the repair of every minute
	written float64
	rss     float64
}

// watch waits for checkpoints. Before each, the first customers send a packet.
func (c *population) watch(ctx context.Context, checkpoints, active int) (w watched, err error) {
	p := c.fixture.process()
	from, err := p.written()
	if err != nil {
		return w, err
	}
	for range checkpoints {
		began := time.Now()
		before, err := p.cpu()
		if err != nil {
			return w, err
		}
		if err := c.speak(active); err != nil {
			return w, err
		}
		select {
		case <-time.After(c.fixture.every - time.Since(began)):
		case <-ctx.Done():
			return w, ctx.Err()
		}
		after, err := p.cpu()
		if err != nil {
			return w, err
		}
		used := after - before
		w.took += time.Since(began)
		w.cpu += used
		if w.least == 0 || used < w.least {
			w.least = used
		}
	}
	to, err := p.written()
	if err != nil {
		return w, err
	}
	w.written = to - from
	w.rss, err = p.rss()
	return w, err
}

// arrive has customers buy and connect.
func (c *population) arrive(ctx context.Context, customers int) error {
	if _, err := c.buy(ctx, customers, buyers); err != nil {
		return err
	}
	_, err := c.connect(ctx, 0, customers)
	return err
}

func (b *fixture) process() process { return process(b.agent.PID()) }

func closing(b *fixture, err error) error { return errors.Join(err, b.close()) }
