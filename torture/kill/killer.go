// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	ofStarts  = 0.4                    // of the kills come during a start
	longest   = 600 * time.Millisecond // that a daemon lives when it answers
	lookEvery = 5 * time.Millisecond
)

// killAll kills the daemon that runs, and those after it, and leaves one that answers.
func (t *trial) killAll(ctx context.Context) error {
	usual := longest // how long a start takes
	for n := range t.kills {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n > 0 && t.random.Float64() < ofStarts {
			t.early++
		} else {
			took, err := t.answers(ctx)
			if err != nil {
				return err
			}
			if n > 0 {
				usual, t.slowest = took, max(t.slowest, took)
			}
		}
		// A start that is killed late has come to its end.
		if err := t.live(ctx, time.Duration(t.random.Int64N(int64(usual)))); err != nil {
			return err
		}
		if err := errors.Join(t.Agent.Kill(), t.Agent.Launch()); err != nil {
			return err
		}
		if (n+1)%50 == 0 {
			t.say("   %d of %d kills", n+1, t.kills)
		}
	}
	_, err := t.answers(ctx)
	return err
}

// live lets the daemon be for a while. One that ends by itself is a failure.
func (t *trial) live(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	case <-t.Agent.Ended():
		return errors.New("the agent ended by itself")
	}
}

// answers waits until the daemon answers, and says how long that took.
func (t *trial) answers(ctx context.Context) (time.Duration, error) {
	for started := time.Now(); ; {
		err := t.API.Call(ctx, "GET", "/status", nil, nil)
		took := time.Since(started)
		if err == nil {
			return took, nil
		}
		if took > patience {
			return took, fmt.Errorf("the agent does not answer within %s: %w", patience, err)
		}
		if err := t.live(ctx, lookEvery); err != nil {
			return took, err
		}
	}
}
