// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	keepEvents = 10_000
	// Trimming writes to the other end of the table, so it is done once in a while:
	// between keepEvents and keepEvents+trimEvery-1 events are stored.
	trimEvery = 128
)

func (t *tx) AppendEvent(e *sessions.Event) error {
	var c checker
	at := c.wall("time", e.Time)
	if c.err != nil {
		return c.err
	}
	seq, err := t.insert(`INSERT INTO events (time, type, device_id, mac, session_id, reason, message, interface, duration_ms,
		differs, value_before, value_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		at, string(e.Type), e.Device, e.MAC, e.Session, e.Reason, e.Message, e.Interface, e.DurationMS,
		e.Differs, e.Before, e.After)
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
	return many(t, scanEvent, `SELECT seq, time, type, device_id, mac, session_id, reason, message, interface, duration_ms,
		differs, value_before, value_after FROM events WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
}

func scanEvent(row scanner) (e sessions.Event, err error) {
	var at sql.NullInt64
	err = row.Scan(&e.Seq, &at, &e.Type, &e.Device, &e.MAC, &e.Session, &e.Reason, &e.Message, &e.Interface, &e.DurationMS,
		&e.Differs, &e.Before, &e.After)
	e.Time = unwall(at)
	return e, err
}
