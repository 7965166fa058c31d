// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

type eventTable struct{ *statements }

// KeepEvents is how many of the newest events are stored at least.
const KeepEvents = 10_000

// Trimming writes to the other end of the table, so it is done once in a while: between
// KeepEvents and KeepEvents+trimEvery-1 events are stored.
const trimEvery = 128

// EventColumns are the columns behind the number, in the order of [ScanEvent].
const EventColumns = `time, type, device_id, mac, session_id, reason, message, details`

var (
	insertEvent  = "INSERT INTO events (" + EventColumns + ") VALUES (" + placeholders(strings.Count(EventColumns, ",")+1) + ")"
	selectEvents = "SELECT seq, " + EventColumns + " FROM events"
)

func (t eventTable) AppendEvent(e *sessions.Event) error {
	row, err := eventRow(e)
	if err != nil {
		return err
	}
	seq, err := t.insert(insertEvent, row...)
	if err != nil {
		return err
	}
	e.Seq = seq
	if seq%trimEvery == 0 {
		_, err = t.exec("DELETE FROM events WHERE seq <= ?", seq-KeepEvents)
	}
	return err
}

// Events returns what is stored after a number, oldest first; all of it when limit
// is not positive.
func (t eventTable) Events(after int64, limit int) ([]sessions.Event, error) {
	if limit <= 0 {
		limit = -1
	}
	// An expression: SQLite parses a statement anew whose LIMIT is a parameter that changed.
	return many(t.statements, ScanEvent, selectEvents+" WHERE seq > ? ORDER BY seq LIMIT ? + 0", after, int64(limit))
}

// EventRange returns the numbers of the first and the last stored event, 0 for none.
func (t eventTable) EventRange() (first, last int64, err error) {
	type span struct{ first, last int64 }
	of, err := one(t.statements, nil, func(row *conn.Row) (s span, err error) {
		err = row.Scan(&s.first, &s.last)
		return s, err
	}, "SELECT coalesce((SELECT min(seq) FROM events), 0), coalesce((SELECT max(seq) FROM events), 0)")
	return of.first, of.last, err
}

func eventRow(e *sessions.Event) ([]any, error) {
	details, err := encodeDetails(*e)
	if err != nil {
		return nil, err
	}
	var c checker
	row := []any{c.wall("time", e.Time), string(e.Type), int64(e.Device), e.MAC, int64(e.Session), e.Reason, e.Message, details}
	return row, c.err
}

// ScanEvent reads the number and the columns.
func ScanEvent(row *conn.Row) (e sessions.Event, err error) {
	var details string
	err = row.Scan(&e.Seq, &e.Time, (*string)(&e.Type), (*int64)(&e.Device), &e.MAC,
		(*int64)(&e.Session), &e.Reason, &e.Message, &details)
	if err != nil || details == "" {
		return e, err
	}
	return e, decodeDetails(details, &e)
}

// eventDetails is an event without what has a column of its own: fields of these names
// hide those of the Event, and are left out. A field that an Event gets is a detail.
type eventDetails struct {
	sessions.Event
	Seq     *none `json:"seq,omitempty"`
	Time    *none `json:"time,omitempty"`
	Type    *none `json:"type,omitempty"`
	Device  *none `json:"device_id,omitempty"`
	MAC     *none `json:"mac,omitempty"`
	Session *none `json:"session_id,omitempty"`
	Reason  *none `json:"reason,omitempty"`
	Message *none `json:"message,omitempty"`
}

type none struct{}

// encodeDetails returns "" for an event that has none.
func encodeDetails(e sessions.Event) (string, error) {
	e.Seq, e.Time, e.Type, e.Device, e.MAC, e.Session, e.Reason, e.Message = 0, time.Time{}, "", 0, "", 0, "", ""
	if e == (sessions.Event{}) {
		return "", nil
	}
	text, err := json.Marshal(eventDetails{Event: e})
	return string(text), err
}

func decodeDetails(text string, e *sessions.Event) error {
	if err := json.Unmarshal([]byte(text), e); err != nil {
		return fmt.Errorf("stored details of event %d: %w", e.Seq, err)
	}
	return nil
}
