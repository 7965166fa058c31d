// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// eventLog writes each event of the rules to the log. For one goroutine.
type eventLog struct {
	manager *manager.Manager
	log     *slog.Logger
	last    int64 // events up to here are in the log
}

// follow writes until ctx ends.
func (l *eventLog) follow(ctx context.Context) error {
	subscription := l.manager.Subscribe(l.last)
	defer subscription.Close()
	for {
		event, err := subscription.Next(ctx)
		if sessions.CodeOf(err) == sessions.Gone {
			l.log.Warn("events missing in this log", "error", err)
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				l.log.Warn("event subscription ended, events are no longer logged", "error", err)
			}
			return nil
		}
		l.write(event)
	}
}

// writeRest writes the events of the stop.
func (l *eventLog) writeRest(ctx context.Context) {
	rest, err := l.manager.Events(ctx, l.last, 0)
	if err != nil {
		l.log.Warn("last events not logged", "error", err)
	}
	for _, event := range rest {
		l.write(event)
	}
}

func (l *eventLog) write(event sessions.Event) {
	log := l.log.Info
	if event.Type == sessions.HealthProblem {
		log = l.log.Warn
	}
	log("event", eventAttrs(event)...)
	l.last = event.Seq
}

// eventAttrs are the fields of an event that are set.
func eventAttrs(e sessions.Event) []any {
	attrs := []any{"type", string(e.Type), "seq", e.Seq}
	if e.Device != 0 {
		attrs = append(attrs, "device", int64(e.Device))
	}
	for _, part := range []struct{ name, value string }{{"mac", e.MAC}, {"interface", e.Interface}, {"reason", e.Reason}, {"message", e.Message}} {
		if part.value != "" {
			attrs = append(attrs, part.name, part.value)
		}
	}
	if e.DurationMS != 0 {
		attrs = append(attrs, "duration_ms", e.DurationMS)
	}
	if e.Session != 0 {
		attrs = append(attrs, "session", int64(e.Session))
	}
	return attrs
}
