// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
)

// What runs side by side: more than this, and the delay lines are late.
const (
	mostLabs  = 5
	mostMbits = 100
)

// job is a measurement in a lab of its own.
type job struct {
	mbits float64 // its part of the machine
	run   func(context.Context) error
}

// schedule runs jobs side by side, as far as the machine goes, and reports after
// each how many are done. A failed one does not stop the others.
func schedule(ctx context.Context, jobs []job, done func(n int)) error {
	type end struct {
		job
		err error
	}
	var failed []error
	ended := make(chan end)
	waiting := append([]job(nil), jobs...)
	load, labs := 0.0, 0
	for n := 0; n < len(jobs); n++ {
		for ctx.Err() == nil {
			next := fitting(waiting, load, labs)
			if next < 0 {
				break
			}
			j := waiting[next]
			waiting = append(waiting[:next], waiting[next+1:]...)
			load, labs = load+j.mbits, labs+1
			go func() { ended <- end{j, j.run(ctx)} }()
		}
		if labs == 0 {
			break // cancelled
		}
		e := <-ended
		load, labs = load-e.mbits, labs-1
		failed = append(failed, e.err)
		done(n + 1)
	}
	return errors.Join(failed...)
}

// fitting is the first job that fits beside those that run, or -1. A job that is
// too large for the machine runs alone.
func fitting(waiting []job, load float64, labs int) int {
	if labs >= mostLabs {
		return -1
	}
	for i, j := range waiting {
		if labs == 0 || load+j.mbits <= mostMbits {
			return i
		}
	}
	return -1
}
