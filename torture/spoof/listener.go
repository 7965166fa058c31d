// SPDX-License-Identifier: Apache-2.0

package spoof

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

// event is one of the agent's, in its JSON.
type event struct {
	Type, Reason, Differs string
}

// listener hears the agent's events, from when it was made.
type listener struct {
	mu     sync.Mutex
	events []received
}

type received struct {
	event
	at time.Time
}

func (s *scene) listen(ctx context.Context) (*listener, error) {
	out, err := s.Agent.Follow("events")
	if err != nil {
		return nil, err
	}
	s.OnClose(out.Close)
	l := &listener{}
	go func() {
		for lines := json.NewDecoder(out); ; {
			var e event
			if lines.Decode(&e) != nil {
				return // closed
			}
			l.mu.Lock()
			l.events = append(l.events, received{e, time.Now()})
			l.mu.Unlock()
		}
	}()
	_, err = l.wait(ctx, "a connection", func(e event) bool { return e.Type == "client.connected" })
	return l, err
}

// wait returns when the first event that fits is received.
func (l *listener) wait(ctx context.Context, what string, fits func(event) bool) (at time.Time, err error) {
	err = wait.Until(ctx, "an event of "+what, func() (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, e := range l.events {
			if fits(e.event) {
				at = e.at
				return true, nil
			}
		}
		return false, nil
	})
	return at, err
}
