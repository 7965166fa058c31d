// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// eventPage is how many stored events are read at a time.
const eventPage = 500

type eventHandlers struct {
	backend
	heartbeat time.Duration
	closing   context.Context // the server's
}

func (h eventHandlers) routes() []route {
	return []route{{method: "GET", path: "/v1/events", query: []string{"after", "generation", "device", "type", "follow"}, handler: h.stream, stream: true}}
}

// selection is what a client wants of the events.
type selection struct {
	place  sessions.Place
	device sessions.DeviceID    // 0: of all
	types  []sessions.EventType // empty: all
	follow bool
}

func (s selection) has(e sessions.Event) bool {
	return (s.device == 0 || s.device == e.Device) && (len(s.types) == 0 || slices.Contains(s.types, e.Type))
}

// stream sends the events after a place, then every new one. A client that does not read
// is dropped once a write does not end; it resumes by number. A place that is lost is
// answered with Gone; when it becomes so later the stream breaks off.
func (h eventHandlers) stream(c *call) (*reply, error) {
	want, err := h.selectionFrom(c)
	if err != nil {
		return nil, err
	}
	generation, err := h.rules.Place(c.Context(), want.place)
	if err != nil {
		return nil, err
	}
	out := &stream{framing: framingFor(c.Request), w: c.w, control: http.NewResponseController(c.w), generation: generation.String()}
	if c.args.Has("generation") {
		out.framing = out.withGeneration()
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	if want.follow {
		err = h.follow(ctx, out, want)
	} else {
		err = h.replay(ctx, out, want)
	}
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return nil, nil
	}
	return nil, h.abort(out.opened, err)
}

func (h eventHandlers) selectionFrom(c *call) (s selection, err error) {
	if s.place, err = placeFrom(c); err != nil {
		return s, err
	}
	if s.follow, err = followFrom(c); err != nil {
		return s, err
	}
	for _, list := range c.args["type"] {
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(sessions.EventTypes(), sessions.EventType(name)) {
				return s, sessions.Invalidf("type", "%q is not a type of event (want some of %v)", name, sessions.EventTypes())
			}
			s.types = append(s.types, sessions.EventType(name))
		}
	}
	if ref := c.args.Get("device"); ref != "" {
		device, err := h.agent.FindDevice(c.Context(), ref)
		if err != nil {
			return s, err
		}
		s.device = device.ID
	}
	return s, nil
}

// placeFrom reads the place from the query, or from the header that an EventSource sends
// when it reconnects: a number, and the generation behind a hyphen where the query has one.
func placeFrom(c *call) (p sessions.Place, err error) {
	text, generation, field := c.args.Get("after"), c.args.Get("generation"), "after"
	if last := c.Header.Get("Last-Event-ID"); last != "" {
		text, field = last, "Last-Event-ID"
		if number, g, both := strings.Cut(last, "-"); both {
			text, generation = number, g
		}
	}
	if text != "" {
		if p.After, err = strconv.ParseInt(text, 10, 64); err != nil || p.After < 0 {
			return p, sessions.Invalidf(field, "%q is not the sequence number of an event", text)
		}
	}
	if generation != "" {
		p.Generation, err = sessions.ParseGeneration(generation)
	}
	return p, err
}

func followFrom(c *call) (bool, error) {
	switch text := c.args.Get("follow"); text {
	case "", "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, sessions.Invalidf("follow", "%q is neither true nor false", text)
	}
}

// replay sends what is stored, and ends.
func (h eventHandlers) replay(ctx context.Context, out *stream, want selection) error {
	for after := want.place.After; ; {
		page, err := h.rules.Events(ctx, after, eventPage)
		if err != nil {
			return err
		}
		if len(page) > 0 && manager.Missed(after, page[0]) { // trimmed meanwhile
			_, err := h.rules.Place(ctx, sessions.Place{After: after})
			return err
		}
		if err := out.open(); err != nil || len(page) == 0 {
			return err
		}
		for _, event := range page {
			if want.has(event) {
				if err := out.send(event); err != nil {
					return err
				}
			}
			after = event.Seq
		}
	}
}

// follow sends what is stored and what comes, until the client or the server ends.
func (h eventHandlers) follow(ctx context.Context, out *stream, want selection) error {
	subscription := h.rules.Subscribe(want.place.After)
	defer subscription.Close()
	err := out.open()
	for err == nil {
		var event api.Event
		switch event, err = nextWithin(ctx, subscription, h.heartbeat); {
		case errors.Is(err, errQuiet):
			err = out.write(out.heartbeat)
		case err == nil && want.has(event):
			err = out.send(event)
		}
	}
	return err
}

var errQuiet = errors.New("no event came")

func nextWithin(ctx context.Context, subscription *manager.Subscription, quiet time.Duration) (api.Event, error) {
	wait, cancel := context.WithTimeoutCause(ctx, quiet, errQuiet)
	defer cancel()
	event, err := subscription.Next(wait)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(wait), errQuiet) {
		return api.Event{}, errQuiet
	}
	return event, err
}
