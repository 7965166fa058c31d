// SPDX-License-Identifier: Apache-2.0

package api

import "sync"

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

// emitToAll hands an event to the subscribers of every device.
func (h *hub) emitToAll(event string, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for to, channels := range h.topics {
		if to.event != event {
			continue
		}
		for _, ch := range channels {
			push(ch, data)
		}
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
