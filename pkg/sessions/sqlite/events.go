// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	keepEvents = 10_000
	// Trimming writes to the other end of the table, so it is done once in a while:
	// between keepEvents and keepEvents+trimEvery-1 events are stored.
	trimEvery = 128
)

// eventFigures are the columns behind the number, in the order of [eventRow] and
// [scanEvent].
const eventFigures = `time, type, device_id, mac, session_id, reason, message,
	interface, duration_ms, differs, value_before, value_after`

var (
	eventMarks   = marks(strings.Count(eventFigures, ",") + 1)
	insertEvent  = "INSERT INTO events (" + eventFigures + ") VALUES (" + eventMarks + ")"
	selectEvents = "SELECT seq, " + eventFigures + " FROM events"
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
	var c checker
	row := []any{
		c.wall("time", e.Time), string(e.Type), e.Device, e.MAC, e.Session, e.Reason, e.Message,
		e.Interface, e.DurationMS, e.Differs, e.Before, e.After,
	}
	return row, c.err
}

func scanEvent(row scanner) (e sessions.Event, err error) {
	var at sql.NullInt64
	err = row.Scan(&e.Seq, &at, &e.Type, &e.Device, &e.MAC, &e.Session, &e.Reason, &e.Message, &e.Interface, &e.DurationMS,
		&e.Differs, &e.Before, &e.After)
	e.Time = unwall(at)
	return e, err
}
