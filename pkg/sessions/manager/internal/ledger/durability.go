// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/background"
)

// durabilityQueue holds what was committed and is not yet on the disk, in order.
type durabilityQueue struct {
	mu      sync.Mutex
	waiting []*Tx
	working bool
}

// add reports whether a worker has to be started.
func (q *durabilityQueue) add(c *Tx) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	start = !q.working
	q.working = true
	return start
}

// take returns all that waits; a worker that gets nothing is done.
func (q *durabilityQueue) take() []*Tx {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	q.working = len(all) > 0
	return all
}

// syncLater has a transaction brought to the disk and published, without waiting for
// it, unless the Manager was stopped.
func (l *Ledger) syncLater(c *Tx) {
	if l.queue.add(c) && !l.Background.Go(l.sync) {
		l.sync()
	}
}

// syncDelay is how long the first one waits for others: in a rush the disk is written 200
// times a second, not as often as it can.
const syncDelay = 5 * time.Millisecond

// sync works off the queue: one write for all that came meanwhile.
func (l *Ledger) sync() {
	for {
		_ = background.Sleep(l.Background.Context(), syncDelay) // at the end without the delay
		all := l.queue.take()
		if len(all) == 0 {
			return
		}
		if err := l.Store.Sync(); err != nil {
			l.log.Error("usage not synced to disk", "error", err)
		}
		for c := range slices.Values(all) {
			l.publish(c)
		}
	}
}
