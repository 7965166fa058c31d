// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The names that the seed has for two of the agent's events.
const (
	EventConnected    = "session:connected"
	EventDisconnected = "session:disconnected"
)

var seedNames = map[sessions.EventType]string{
	sessions.ClientConnected:    EventConnected,
	sessions.ClientDisconnected: EventDisconnected,
}

// subscriberBuffer is how many events a subscriber may be behind.
const subscriberBuffer = 64

type topic struct {
	device int64
	event  string
}

// hub hands events to the subscribers in this process. Nothing in it waits for one.
type hub struct {
	mu     sync.Mutex
	topics map[topic][]chan []byte
	closed bool
}

func (h *hub) subscribe(device int64, event string) <-chan []byte {
	ch := make(chan []byte, subscriberBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch
	}
	if h.topics == nil {
		h.topics = map[topic][]chan []byte{}
	}
	key := topic{device, event}
	h.topics[key] = append(h.topics[key], ch)
	return ch
}

func (h *hub) unsubscribe(device int64, event string, ch <-chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := topic{device, event}
	var rest []chan []byte
	for _, own := range h.topics[key] {
		if (<-chan []byte)(own) == ch {
			close(own)
		} else {
			rest = append(rest, own)
		}
	}
	if h.topics[key] = rest; len(rest) == 0 {
		delete(h.topics, key)
	}
}

func (h *hub) emit(device int64, event string, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.topics[topic{device, event}] {
		push(ch, data)
	}
}

// push makes room by dropping the oldest. The hub's lock makes it the only sender.
func push(ch chan []byte, data []byte) {
	for {
		select {
		case ch <- data:
			return
		default:
		}
		select {
		case <-ch:
		default:
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, channels := range h.topics {
		for _, ch := range channels {
			close(ch)
		}
	}
	h.topics = nil
}

// ensureLink starts following the agent, once: for the subscribers, and to register
// the providers again with an agent that restarted.
func (a *API) ensureLink() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.linked || a.ctx.Err() != nil {
		return
	}
	a.linked = true
	f := follower{client: a.client, after: a.lastEvent(), patient: true, opened: a.registerAll, event: a.deliver}
	a.link.Go(func() { _ = f.run(a.ctx) })
}

// lastEvent is where to begin: subscribers hear what comes, not what was.
func (a *API) lastEvent() int64 {
	ctx, cancel := context.WithTimeout(a.ctx, sdkTimeout)
	defer cancel()
	status, err := a.client.Status(ctx)
	if err != nil {
		return 0 // the agent is away; its past is told rather than nothing
	}
	return status.Counts.LastEvent
}

func (a *API) deliver(e Event) bool {
	text, err := json.Marshal(e)
	if err != nil {
		return true
	}
	a.hub.emit(int64(e.Device), string(e.Type), text)
	if name, ok := seedNames[e.Type]; ok {
		text, _ = json.Marshal(seedEvent{Event: e, Message: e.Message})
		a.hub.emit(int64(e.Device), name, text)
	}
	return true
}

// seedEvent is an event whose message is there also when it is empty.
type seedEvent struct {
	Event
	Message string `json:"message"`
}
