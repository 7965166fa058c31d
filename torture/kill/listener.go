// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// listener follows the events: each number once, in order, whatever happens to the daemon.
type listener struct {
	name   string
	source func(ctx context.Context, after int64, hear func(line []byte) bool)

	mu      sync.Mutex
	last    int64
	created map[int64]int // session.created, by session
	broken  []string
}

func newListener(name string, source func(context.Context, int64, func([]byte) bool)) *listener {
	return &listener{name: name, source: source, created: make(map[int64]int)}
}

// listen asks again after what it heard last, until ctx ends.
func (l *listener) listen(ctx context.Context) {
	for ctx.Err() == nil {
		l.source(ctx, l.heard(), l.hear)
		time.Sleep(lookEvery)
	}
}

func (l *listener) hear(line []byte) bool {
	var e struct {
		Seq     int64
		Type    string
		Session int64 `json:"session_id"`
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.Unmarshal(line, &e); err != nil {
		l.broken = append(l.broken, fmt.Sprintf("%s: after event %d: %q: %v", l.name, l.last, line, err))
		return false
	}
	if e.Seq != l.last+1 {
		l.broken = append(l.broken, fmt.Sprintf("%s: event %d after %d", l.name, e.Seq, l.last))
	}
	l.last = e.Seq
	if e.Type == "session.created" {
		l.created[e.Session]++
	}
	return true
}

func (l *listener) heard() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// subscribe reads the stream until the daemon dies.
func (t *trial) subscribe(ctx context.Context, after int64, hear func([]byte) bool) {
	_ = t.API.Lines(ctx, fmt.Sprintf("/events?after=%d", after), hear) // why it ended is known
}

// follow has the command line follow, which reconnects when the daemon runs again.
func (t *trial) follow(ctx context.Context, after int64, hear func([]byte) bool) {
	out, err := t.Agent.Follow("events", "--after", fmt.Sprint(after))
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && hear(lines.Bytes()) {
		continue
	}
	if stop() {
		_ = out.Close()
	}
}

// counts is what the agent's status counts.
type counts struct {
	LastEvent int64 `json:"last_event_seq"`
	Clients   int   // rules in the kernel
}

func (t *trial) counts() (counts, error) {
	var status struct{ Counts counts }
	err := t.API.Call(context.Background(), "GET", "/status", nil, &status)
	return status.Counts, err
}

// heardAll waits until the listeners have heard of the last event.
func (t *trial) heardAll(ctx context.Context) error {
	last := int64(-1)
	return wait.Until(ctx, "all events are heard", func() (bool, error) {
		now, err := t.counts()
		if err != nil {
			return false, err
		}
		quiet := now.LastEvent == last
		last = now.LastEvent
		for _, l := range t.listeners {
			quiet = quiet && l.heard() >= last
		}
		return quiet, nil
	})
}
