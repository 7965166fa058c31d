// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// turns lets one at a time do something for a session that may take long. Unlike a
// mutex, waiting for it can be given up.
type turns struct {
	mu   sync.Mutex
	busy map[sessions.SessionID]chan struct{} // closed when the turn is over
}

// take waits for the turn and returns what ends it. Code Unavailable when ctx ends
// before.
func (t *turns) take(ctx context.Context, id sessions.SessionID) (done func(), err error) {
	for {
		over := t.begin(id)
		if over == nil {
			return func() { t.end(id) }, nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, sessions.Errorf(sessions.Unavailable, "an earlier call for session %d is not over: %w", id, ctx.Err())
		}
	}
}

// begin returns nil when the turn is the caller's now, else what tells its end.
func (t *turns) begin(id sessions.SessionID) (over chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over := t.busy[id]; over != nil {
		return over
	}
	if t.busy == nil {
		t.busy = make(map[sessions.SessionID]chan struct{})
	}
	t.busy[id] = make(chan struct{})
	return nil
}

func (t *turns) end(id sessions.SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.busy[id])
	delete(t.busy, id)
}
