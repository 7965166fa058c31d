// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// hub notifies subscribers that there are new events. It carries no events: each
// subscriber reads them from the store at its own pace, so that a slow one delays
// no other and loses nothing.
//
// Events that are not yet on the disk are held back: a power cut would take them, and
// their numbers would come again with others.
type hub struct {
	mu        sync.Mutex
	subs      map[*Subscription]struct{}
	committed int64 // number of the last event
	durable   int64 // below committed: events after it are held back
}

// hold is called before the event's transaction commits.
func (h *hub) hold(seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.durable >= h.committed {
		h.durable = seq - 1
	}
	h.committed = seq
}

// release releases events up to a number, and wakes the subscribers.
func (h *hub) release(seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durable = max(h.durable, seq)
	for s := range h.subs {
		select {
		case s.news <- struct{}{}:
		default: // it has not yet looked at the last news
		}
	}
}

// released cuts off what is held back. The events were read before the call.
func (h *hub) released(events []sessions.Event) []sessions.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.durable >= h.committed {
		return events
	}
	for len(events) > 0 && events[len(events)-1].Seq > h.durable {
		events = events[:len(events)-1]
	}
	return events
}

func (h *hub) add(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[*Subscription]struct{})
	}
	h.subs[s] = struct{}{}
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// ErrClosed is returned by Next of a closed Subscription.
var ErrClosed = errors.New("the subscription is closed")

const eventBatch = 100

// Subscription is a place in the sequence of events. Next is for one goroutine;
// Close may be called from any, and more than once.
type Subscription struct {
	ledger *Ledger
	after  int64
	ahead  []sessions.Event // read, not yet returned
	read   bool             // all that there is without further news
	news   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Subscribe returns the events with numbers above after, first those stored, then
// those to come. The caller closes it.
func (l *Ledger) Subscribe(after int64) *Subscription {
	s := &Subscription{ledger: l, after: after, news: make(chan struct{}, 1), closed: make(chan struct{})}
	l.hub.add(s)
	return s
}

// Next returns the next event and waits for it if need be: until ctx ends, or
// Close, which makes it return ErrClosed. Where events were trimmed that it did not return
// yet it fails once, with code Gone, and continues with the first that is left.
func (s *Subscription) Next(ctx context.Context) (sessions.Event, error) {
	for len(s.ahead) == 0 {
		if err := s.wait(ctx); err != nil {
			return sessions.Event{}, err
		}
		events, err := s.ledger.Events(ctx, s.after, eventBatch)
		if err != nil {
			return sessions.Event{}, err
		}
		s.ahead = s.ledger.hub.released(events)
		s.read = len(events) < eventBatch || len(s.ahead) == 0
		if len(s.ahead) > 0 && Missed(s.after, s.ahead[0]) {
			lost := sessions.Place{After: s.after}.Gone(sessions.LostPlace{First: s.ahead[0].Seq, Last: s.ahead[len(s.ahead)-1].Seq})
			s.after = s.ahead[0].Seq - 1
			return sessions.Event{}, lost
		}
	}
	e := s.ahead[0]
	s.ahead, s.after = s.ahead[1:], e.Seq
	return e, nil
}

// Missed reports that events between a number and the next one that is stored were trimmed.
// Numbers have a gap before a rescue only.
func Missed(after int64, next sessions.Event) bool {
	return after > 0 && next.Seq > after+1 && next.Type != sessions.DatabaseRescued
}

// wait returns when there may be something to read.
func (s *Subscription) wait(ctx context.Context) error {
	if !s.read {
		return nil
	}
	select {
	case <-s.news:
		s.read = false
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.once.Do(func() {
		s.ledger.hub.remove(s)
		close(s.closed)
	})
}
