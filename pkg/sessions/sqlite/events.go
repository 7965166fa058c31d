// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	keepEvents = 10_000
	// Trimming writes to the other end of the table, so it is done once in a while:
	// between keepEvents and keepEvents+trimEvery-1 events are stored.
	trimEvery = 128
)

// eventColumns are the columns behind the number, in the order of [eventRow] and
// [scanEvent].
const eventColumns = `time, type, device_id, mac, session_id, reason, message, details`

var (
	insertEvent  = "INSERT INTO events (" + eventColumns + ") VALUES (" + placeholders(strings.Count(eventColumns, ",")+1) + ")"
	selectEvents = "SELECT seq, " + eventColumns + " FROM events"
)

func (t *tx) AppendEvent(e *sessions.Event) error {
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
		_, err = t.exec("DELETE FROM events WHERE seq <= ?", seq-keepEvents)
	}
	return err
}

// Events returns what is stored after a number, oldest first; all of it when limit
// is not positive.
func (t *tx) Events(after int64, limit int) ([]sessions.Event, error) {
	if limit <= 0 {
		limit = -1
	}
	return many(t, scanEvent, selectEvents+" WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
}

func eventRow(e *sessions.Event) ([]any, error) {
	details, err := encodeDetails(*e)
	if err != nil {
		return nil, err
	}
	var c checker
	row := []any{c.wall("time", e.Time), string(e.Type), e.Device, e.MAC, e.Session, e.Reason, e.Message, details}
	return row, c.err
}

func scanEvent(row scanner) (e sessions.Event, err error) {
	var at sql.NullInt64
	var details string
	err = row.Scan(&e.Seq, &at, &e.Type, &e.Device, &e.MAC, &e.Session, &e.Reason, &e.Message, &details)
	if err == nil && details != "" {
		err = decodeDetails(details, &e)
	}
	e.Time = unwall(at)
	return e, err
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
