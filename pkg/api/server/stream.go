// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// framing is how events are laid out in a stream.
type framing struct {
	contentType string
	event       func(api.Event, []byte) string
	// heartbeat is written to a quiet stream, so that a client that is gone is
	// noticed. It is no event: JSON allows space before a value.
	heartbeat string
}

var (
	jsonLines = framing{
		contentType: wire.TypeLines,
		event:       func(_ api.Event, data []byte) string { return string(data) + "\n" },
		heartbeat:   " ",
	}
	eventStream = framing{
		contentType: "text/event-stream",
		event: func(e api.Event, data []byte) string {
			return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
		},
		heartbeat: ": heartbeat\n\n",
	}
)

func framingFor(r *http.Request) framing {
	if strings.Contains(r.Header.Get("Accept"), eventStream.contentType) {
		return eventStream
	}
	return jsonLines
}

// errGone is a client that hung up, or does not read.
var errGone = errors.New("the client is gone")

// stream writes events and flushes each.
type stream struct {
	framing
	w       http.ResponseWriter
	control *http.ResponseController
	opened  bool

	generation string
}

// withGeneration has the ids of a text/event-stream carry the generation.
func (s *stream) withGeneration() framing {
	f := s.framing
	if f.contentType == eventStream.contentType {
		f.event = func(e api.Event, data []byte) string {
			return fmt.Sprintf("id: %d-%s\nevent: %s\ndata: %s\n\n", e.Seq, e.Generation, e.Type, data)
		}
	}
	return f
}

// open sends the header, so that the client knows that the stream is open.
func (s *stream) open() error {
	if s.opened {
		return nil
	}
	s.opened = true
	s.w.Header().Set("Content-Type", s.contentType)
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.Header().Set(wire.HeaderGeneration, s.generation)
	s.w.WriteHeader(http.StatusOK)
	return s.flush()
}

func (s *stream) send(event sessions.Event) error {
	event = eventOf(event)
	event.Generation = s.generation
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

func eventOf(e sessions.Event) api.Event {
	e.Time = e.Time.UTC()
	return e
}
