// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Pauses between attempts to reach an agent that went away.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Events yields the events after a sequence number: the stored ones, then every new
// one, until ctx ends or the loop breaks. When the agent goes away it waits for it
// and goes on after the last event seen: none is lost, none comes twice.
//
// An error ends the sequence: the first connection failed, or the agent refused.
// A ctx that ends is no error.
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := follower{client: c, after: after, event: func(e Event) bool { return yield(e, nil) }}
		if err := f.run(ctx); err != nil {
			yield(Event{}, err)
		}
	}
}

// StoredEvents returns the stored events after a sequence number.
func (c *Client) StoredEvents(ctx context.Context, after int64) ([]Event, error) {
	events := []Event{}
	err := c.stream(ctx, eventsPath(after)+"&follow=false", func() error { return nil }, func(e Event) bool {
		events = append(events, e)
		return true
	})
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return events, nil
}

func eventsPath(after int64) string { return pathEvents + "?after=" + strconv.FormatInt(after, 10) }

// follower follows the events across connections.
type follower struct {
	client  *Client
	after   int64
	patient bool             // waits for an agent that is not there at first, too
	opened  func() error     // after every connection, which an error ends; may be nil
	event   func(Event) bool // false ends
}

// run returns nil when ctx ended or event said so, else what no retry cures.
func (f *follower) run(ctx context.Context) error {
	wait := firstRetry
	for {
		err := f.client.stream(ctx, eventsPath(f.after), func() error { wait = firstRetry; return f.isOpen() }, f.next)
		switch {
		case ended(ctx), errors.Is(err, errEnough):
			return nil
		case !f.patient, !passing(err):
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }

func (f *follower) isOpen() error {
	f.patient = true
	if f.opened == nil {
		return nil
	}
	return f.opened()
}

func (f *follower) next(e Event) bool {
	f.after = e.Seq
	return f.event(e)
}

// passing reports whether trying again can help.
func passing(err error) bool {
	return errors.Is(err, io.EOF) || sessions.CodeOf(err) == sessions.Unavailable
}

var errEnough = errors.New("the reader has enough")

// stream reads one stream of events to its end, which is io.EOF.
func (c *Client) stream(ctx context.Context, path string, opened func() error, event func(Event) bool) error {
	answer, err := c.send(ctx, http.MethodGet, path, nil, jsonLines.contentType)
	if err != nil {
		return err
	}
	defer closeQuietly(answer.Body)
	if err := opened(); err != nil {
		return err
	}
	decoder := json.NewDecoder(answer.Body)
	for {
		var e Event
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return c.unreachable(ctx, err)
		case !event(e):
			return errEnough
		}
	}
}
