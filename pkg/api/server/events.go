// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
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
	return []route{{method: "GET", path: "/v1/events", query: []string{"after", "follow"}, handler: h.stream, stream: true}}
}

// stream sends the events after a sequence number, then every new one. A client
// that does not read is dropped once a write does not end; it resumes by number.
func (h eventHandlers) stream(c *call) (*reply, error) {
	after, follow, err := streamArgs(c)
	if err != nil {
		return nil, err
	}
	out := &stream{framing: framingFor(c.Request), w: c.w, control: http.NewResponseController(c.w)}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	defer context.AfterFunc(h.closing, cancel)()
	if follow {
		err = h.follow(ctx, out, after)
	} else {
		err = h.replay(ctx, out, after)
	}
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return nil, nil
	}
	return nil, h.abort(out.opened, err)
}

func streamArgs(c *call) (after int64, follow bool, err error) {
	text, field := c.args.Get("after"), "after"
	if last := c.Header.Get("Last-Event-ID"); last != "" {
		text, field = last, "Last-Event-ID"
	}
	if text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return 0, false, sessions.Invalidf(field, "%q is not the sequence number of an event", text)
		}
	}
	switch text := c.args.Get("follow"); text {
	case "", "true", "1":
		return after, true, nil
	case "false", "0":
		return after, false, nil
	default:
		return 0, false, sessions.Invalidf("follow", "%q is neither true nor false", text)
	}
}

// replay sends what is stored, and ends.
func (h eventHandlers) replay(ctx context.Context, out *stream, after int64) error {
	for {
		page, err := h.rules.Events(ctx, after, eventPage)
		if err != nil {
			return err
		}
		if err := out.open(); err != nil || len(page) == 0 {
			return err
		}
		for _, event := range page {
			if err := out.send(event); err != nil {
				return err
			}
			after = event.Seq
		}
	}
}

// follow sends what is stored and what comes, until the client or the server ends.
func (h eventHandlers) follow(ctx context.Context, out *stream, after int64) error {
	subscription := h.rules.Subscribe(after)
	defer subscription.Close()
	err := out.open()
	for err == nil {
		var event api.Event
		switch event, err = nextWithin(ctx, subscription, h.heartbeat); {
		case errors.Is(err, errQuiet):
			err = out.write(out.heartbeat)
		case err == nil:
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
