// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Flare's names for two of the agent's events.
const (
	EventConnected    = "session:connected"
	EventDisconnected = "session:disconnected"
)

var flareNames = map[sessions.EventType]string{
	sessions.ClientConnected:    EventConnected,
	sessions.ClientDisconnected: EventDisconnected,
}

// ensureLink follows the agent, for the subscribers, and to register the providers again
// with an agent that restarted. When it returns, no later event is missed.
func (a *API) ensureLink() {
	select {
	case <-a.link():
	case <-a.ctx.Done():
	}
}

// link starts the goroutine that follows the agent, once. The channel is closed when it
// knows with which event it begins.
func (a *API) link() (linked <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.linked == nil {
		a.linked = make(chan struct{})
		if a.ctx.Err() == nil {
			a.running.Go(a.follow)
		}
	}
	return a.linked
}

func (a *API) follow() {
	f := follower{agent: a.client.transport, query: a.lastEvent(), patient: true, opened: a.registerAll, event: a.deliver}
	close(a.linked)
	_ = f.run(a.ctx) // patient: it ends with the context only
}

// lastEvent is the event after which to begin: subscribers get what comes, not what was.
func (a *API) lastEvent() EventQuery {
	ctx, cancel := context.WithTimeout(a.ctx, sdkTimeout)
	defer cancel()
	status, err := a.client.Status(ctx)
	if err != nil {
		return EventQuery{} // the agent is away; then events of before come rather than none
	}
	return EventQuery{After: status.Counts.LastEvent, Generation: status.Counts.Generation}
}

func (a *API) deliver(e Event) bool {
	text, err := json.Marshal(e)
	if err != nil {
		return true
	}
	if e.Type == EventsLost {
		a.hub.emitToAll(string(e.Type), text) // of whichever device they were
		return true
	}
	a.hub.emit(int64(e.Device), string(e.Type), text)
	if name, ok := flareNames[e.Type]; ok {
		text, _ = json.Marshal(flareEvent{Event: e, Message: e.Message})
		a.hub.emit(int64(e.Device), name, text)
	}
	return true
}

// flareEvent is an event whose message is there also when it is empty.
type flareEvent struct {
	Event
	Message string `json:"message"`
}
