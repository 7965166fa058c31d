// SPDX-License-Identifier: Apache-2.0

package steal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
)

const (
	patience = 10 * time.Second
	look     = time.Millisecond
)

// stream is packets that one host sends to another, counted there.
type stream struct {
	sink  *lab.Sink
	end   context.CancelFunc
	ended chan struct{}
	sent  uint64
	err   error
	once  sync.Once
	lost  int64
}

// send begins; stop ends it.
func (s *scene) send(from, to *lab.Host, port uint16) (*stream, error) {
	sink, err := to.Sink("udp4", port)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &stream{sink: sink, end: cancel, ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		t.sent, t.err = from.Blast(ctx, netip.AddrPortFrom(to.Addr4, port), speedBPS, packetBytes)
	}()
	return t, nil
}

func (t *stream) arrived() uint64 { return t.sink.Read().Packets }

// await waits until so many packets have arrived.
func (t *stream) await(n uint64) error {
	for deadline := time.Now().Add(patience); t.arrived() < n; time.Sleep(look) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d packets arrived within %s, want %d", t.arrived(), patience, n)
		}
	}
	return nil
}

// stop returns how many packets were sent in vain. What is sent is there at once in a
// lab: what is missing some time after the last was dropped.
func (t *stream) stop() (lost int64, err error) {
	t.once.Do(func() {
		t.end()
		<-t.ended
		for deadline := time.Now().Add(200 * look); t.arrived() < t.sent && time.Now().Before(deadline); {
			time.Sleep(look)
		}
		t.lost = int64(t.sent) - int64(t.arrived())
		if err := t.sink.Close(); t.err == nil {
			t.err = err
		}
	})
	return t.lost, t.err
}

// event is one of the agent's, in its JSON.
type event struct {
	Type, Reason, Differs string
}

// listener hears the agent's events, from when it was made.
type listener struct {
	from io.Closer
	mu   sync.Mutex
	told []told
}

type told struct {
	event
	at time.Time
}

func listen(agent *rig.Agent) (*listener, error) {
	out, err := agent.Follow("events")
	if err != nil {
		return nil, err
	}
	l := &listener{from: out}
	go func() {
		for lines := json.NewDecoder(out); ; {
			var e event
			if lines.Decode(&e) != nil {
				return // closed
			}
			l.mu.Lock()
			l.told = append(l.told, told{e, time.Now()})
			l.mu.Unlock()
		}
	}()
	_, err = l.wait(func(e event) bool { return e.Type == "client.connected" })
	return l, err
}

// wait returns when the first event that fits was told.
func (l *listener) wait(fits func(event) bool) (time.Time, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(look) {
		l.mu.Lock()
		for _, e := range l.told {
			if fits(e.event) {
				l.mu.Unlock()
				return e.at, nil
			}
		}
		l.mu.Unlock()
	}
	return time.Time{}, fmt.Errorf("not told within %s", patience)
}

func (l *listener) close() { _ = l.from.Close() }
