// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// Pauses between attempts to reach an agent that went away.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

type eventCalls struct{ agent *transport }

// EventQuery selects events; its zero value selects all that are stored, and those to come.
type EventQuery struct {
	After int64 // number of the last event seen
	// Generation of that event. With it a database that was restored since is noticed, also
	// when its numbers reach After.
	Generation string
	Device     string      // id, MAC or IP; "" for every device, and what concerns none
	Types      []EventType // empty: of every type
}

// Events yields the events after a sequence number: the stored ones, then every new
// one, until ctx ends or the loop breaks. When the agent goes away it waits for it
// and continues after the last event seen: none is lost, none comes twice. Where events
// are missing, because they were trimmed or the database is another one, it yields
// [EventsLost] and continues with the first that is stored.
//
// An error ends the sequence: the first connection failed, or the agent refused.
// A ctx that ends is no error.
func (c eventCalls) Events(ctx context.Context, after int64) iter.Seq2[Event, error] {
	return c.SelectEvents(ctx, EventQuery{After: after})
}

// SelectEvents is Events from a place with its generation, and of some events only. The
// place of a client that stops is Seq and Generation of the last event that it got.
func (c eventCalls) SelectEvents(ctx context.Context, query EventQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := follower{agent: c.agent, query: query, event: func(e Event) bool { return yield(e, nil) }}
		if err := f.run(ctx); err != nil {
			yield(Event{}, err)
		}
	}
}

// StoredEvents returns the stored events after a sequence number. A number that is lost is
// Gone, with the cause *[LostPlace].
func (c eventCalls) StoredEvents(ctx context.Context, after int64) ([]Event, error) {
	events := []Event{}
	err := stream(ctx, c.agent, EventQuery{After: after}.path()+"&follow=false", func() error { return nil }, func(e Event) bool {
		events = append(events, e)
		return true
	})
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return events, nil
}

func (q EventQuery) path() string {
	args := url.Values{"after": {strconv.FormatInt(q.After, 10)}}
	if q.Generation != "" {
		args.Set("generation", q.Generation)
	}
	if q.Device != "" {
		args.Set("device", q.Device)
	}
	if len(q.Types) > 0 {
		args.Set("type", strings.Join(wire.Each(q.Types, func(t EventType) string { return string(t) }), ","))
	}
	return "/v1/events?" + args.Encode()
}

// follower follows the events across connections.
type follower struct {
	agent   *transport
	query   EventQuery
	patient bool             // waits for an agent that is not there at first, too
	opened  func() error     // after every connection, which an error ends; may be nil
	event   func(Event) bool // false ends
}

// run returns nil when ctx ended or event said so, else what no retry cures.
func (f *follower) run(ctx context.Context) error {
	wait := firstRetry
	for {
		err := stream(ctx, f.agent, f.query.path(), func() error { wait = firstRetry; return f.isOpen() }, f.next)
		switch {
		case ended(ctx), errors.Is(err, errStop):
			return nil
		case CodeOf(err) == Gone:
			if again, err := f.lost(err); !again {
				return err
			}
			continue
		case !f.patient, !temporary(err):
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
	f.query.After, f.query.Generation = e.Seq, e.Generation
	return f.event(e)
}

// lost reports a place that is lost, and continues from the first event that is stored.
func (f *follower) lost(err error) (again bool, failed error) {
	var place *LostPlace
	if !errors.As(err, &place) {
		return false, err
	}
	return f.next(Event{
		Seq: place.First - 1, Time: time.Now().UTC(), Type: EventsLost, Generation: place.Generation.String(), Message: err.Error(),
	}), nil
}

// temporary reports whether trying again can help.
func temporary(err error) bool {
	return errors.Is(err, io.EOF) || CodeOf(err) == Unavailable
}

var errStop = errors.New("the reader stopped")

// stream reads one stream of events to its end, which is io.EOF.
func stream(ctx context.Context, t *transport, path string, opened func() error, event func(Event) bool) error {
	answer, err := t.send(ctx, http.MethodGet, path, nil, wire.TypeLines)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
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
			return t.unreachable(ctx, err)
		case !event(e):
			return errStop
		}
	}
}
