// SPDX-License-Identifier: Apache-2.0

// Package background runs work that no caller waits for, and lets it wait, until it is
// stopped.
package background

import (
	"context"
	"sync"
	"time"
)

// Group is a set of goroutines with one end. Safe for concurrent use.
type Group struct {
	mu      sync.Mutex // held for the start of a goroutine only
	stopped bool
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// New returns a Group. The caller stops it.
func New() *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Context ends with Stop.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs fn in a goroutine. It reports false, and does not run fn, after Stop.
func (g *Group) Go(fn func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.group.Go(fn)
	return true
}

// Stop ends the context and waits for all goroutines.
func (g *Group) Stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.cancel()
	g.group.Wait()
}

// Sleep waits for d. It returns early, with the context's error, when that ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
