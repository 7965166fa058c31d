// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"slices"
	"sync"
	"time"
)

// syncQueue holds what was committed and is not yet on the disk, in order.
type syncQueue struct {
	mu      sync.Mutex
	waiting []*change
	working bool
}

// add reports whether a worker has to be started.
func (q *syncQueue) add(c *change) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	start = !q.working
	q.working = true
	return start
}

// take returns all that waits; a worker that gets nothing is done.
func (q *syncQueue) take() []*change {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	q.working = len(all) > 0
	return all
}

// syncLater has a transaction brought to the disk and published, without waiting for
// it, unless the Manager was stopped.
func (m *Manager) syncLater(c *change) {
	if m.syncs.add(c) && !m.later(m.sync) {
		m.sync()
	}
}

// gather is how long the first one waits for others: in a rush the disk is written 200
// times a second, not as often as it can.
const gather = 5 * time.Millisecond

// sync works off the queue: one write for all that came meanwhile.
func (m *Manager) sync() {
	for {
		sleep(m.running, gather)
		all := m.syncs.take()
		if len(all) == 0 {
			return
		}
		if err := m.store.Sync(); err != nil {
			m.log.Error("what was used is not on the disk", "error", err)
		}
		for c := range slices.Values(all) {
			m.publish(c)
		}
	}
}
