// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

const pathEvents = "/v1/events"

// eventPage is how many stored events are read at a time.
const eventPage = 500

// framing is how events are laid out in a stream.
type framing struct {
	contentType string
	event       func(Event, []byte) string
	// beat is what a quiet stream says now and then, so that a client that is gone
	// is noticed. It is no event: JSON allows space before a value.
	beat string
}

var (
	jsonLines = framing{
		contentType: "application/x-ndjson",
		event:       func(_ Event, data []byte) string { return string(data) + "\n" },
		beat:        " ",
	}
	eventStream = framing{
		contentType: "text/event-stream",
		event: func(e Event, data []byte) string {
			return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
		},
		beat: ": still here\n\n",
	}
)

// events streams what happened after a sequence number, then what happens. A client
// that does not read is dropped once a write does not end; it resumes by number.
func (s *Server) events(c *call) (*reply, error) {
	after, follow, err := streamArgs(c)
	if err != nil {
		return nil, err
	}
	out := &stream{framing: framingFor(c.Request), w: c.w, control: http.NewResponseController(c.w)}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	if follow {
		err = s.follow(ctx, out, after)
	} else {
		err = s.replay(ctx, out, after)
	}
	if ended(ctx) || errors.Is(err, errGone) {
		return nil, nil
	}
	return nil, s.breakOff(out.opened, err)
}

// errGone is a client that hung up, or does not read.
var errGone = errors.New("the client is gone")

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

func framingFor(r *http.Request) framing {
	if strings.Contains(r.Header.Get("Accept"), eventStream.contentType) {
		return eventStream
	}
	return jsonLines
}

// replay sends what is stored, and ends.
func (s *Server) replay(ctx context.Context, out *stream, after int64) error {
	for {
		page, err := s.service.Events(ctx, after, eventPage)
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
func (s *Server) follow(ctx context.Context, out *stream, after int64) error {
	subscription := s.service.Subscribe(after)
	defer subscription.Close()
	err := out.open()
	for err == nil {
		var event Event
		switch event, err = nextWithin(ctx, subscription, s.opts.Heartbeat); {
		case errors.Is(err, errQuiet):
			err = out.write(out.beat)
		case err == nil:
			err = out.send(event)
		}
	}
	return err
}

// breakOff returns an error that comes before the answer is opened. Afterwards the
// connection is broken off, so that the client does not take what it has for all.
func (s *Server) breakOff(opened bool, err error) error {
	if !opened || err == nil {
		return err
	}
	s.opts.Log.Error("an answer ends in the middle", "err", errorForLog(err))
	panic(http.ErrAbortHandler)
}

var errQuiet = errors.New("no event came")

func nextWithin(ctx context.Context, subscription *manager.Subscription, quiet time.Duration) (Event, error) {
	wait, cancel := context.WithTimeoutCause(ctx, quiet, errQuiet)
	defer cancel()
	event, err := subscription.Next(wait)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(wait), errQuiet) {
		return Event{}, errQuiet
	}
	return event, err
}

// stream writes events and flushes each.
type stream struct {
	framing
	w       http.ResponseWriter
	control *http.ResponseController
	opened  bool
}

// open sends the header, so that the client knows that it is heard.
func (s *stream) open() error {
	if s.opened {
		return nil
	}
	s.opened = true
	s.w.Header().Set("Content-Type", s.contentType)
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.WriteHeader(http.StatusOK)
	return s.flush()
}

func (s *stream) send(event sessions.Event) error {
	event = eventOf(event)
	data, err := json.Marshal(event)
	if err != nil {
		return err
	}
	return s.write(s.event(event, data))
}

func (s *stream) write(text string) error {
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errGone
	}
	return s.flush()
}

func (s *stream) flush() error {
	if s.control.Flush() != nil {
		return errGone
	}
	return nil
}
