// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"sync"
)

// background is the work that nobody waits for: calls of providers.
type background struct {
	mu     sync.Mutex
	ended  bool
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func (b *background) begin() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	return ctx
}

// end stops the work and waits for it; what comes later is not done.
func (b *background) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.cancel()
	b.group.Wait()
}

// later runs fn in the background. It reports false, and does nothing, when the
// Manager was stopped.
func (m *Manager) later(fn func()) bool {
	m.background.mu.Lock()
	defer m.background.mu.Unlock()
	if m.background.ended {
		return false
	}
	m.background.group.Go(fn)
	return true
}
