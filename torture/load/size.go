// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// size is what the daemon occupies.
type size struct {
	memory uint64 // bytes
	open   int    // descriptors
}

func (k kiosk) size() (s size, err error) {
	memory, err := k.Agent.Memory()
	if err != nil {
		return s, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", k.Agent.PID()))
	return size{memory.Resident, len(open)}, err
}

// watchSize returns what ends the watching, and returns the most that the daemon occupied.
func (k kiosk) watchSize(ctx context.Context) (most func() (size, error)) {
	const look = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	var peak size
	done := make(chan error)
	go func() {
		for {
			s, err := k.size()
			peak.memory, peak.open = max(peak.memory, s.memory), max(peak.open, s.open)
			if err != nil || ctx.Err() != nil {
				done <- err
				return
			}
			time.Sleep(look)
		}
	}()
	return func() (size, error) { cancel(); err := <-done; return peak, err }
}

// leaked says what did not come back.
func (p plan) leaked(before, s size) (failures []string) {
	if s.open > before.open+mostOpen {
		failures = append(failures, fmt.Sprintf("%d descriptors after the load, %d before", s.open, before.open))
	}
	if s.memory > before.memory+p.more*mostResident {
		failures = append(failures, fmt.Sprintf("%d bytes of memory after the load, %d before", s.memory, before.memory))
	}
	return failures
}

// settle waits until the daemon has let go of what the load made it hold.
func (t *trial) settle(ctx context.Context) (s size, took time.Duration, err error) {
	const look = 20 * time.Millisecond
	for began := time.Now(); ; {
		if s, err = t.size(); err != nil {
			return s, 0, err
		}
		took = time.Since(began)
		if len(t.leaked(t.before, s)) == 0 || took > patience {
			return s, took, nil
		}
		if err := wait.For(ctx, look); err != nil {
			return s, took, err
		}
	}
}
