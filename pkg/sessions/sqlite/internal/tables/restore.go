// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// What a rescue writes: rows with the ids that they had.

// RestoreAddress inserts an address, or replaces one that is there.
func (t *Tx) RestoreAddress(ip string, device sessions.DeviceID, recency int64) error {
	return t.putAddress(ip, device, recency)
}

// RestoreSession inserts a session.
func (t *Tx) RestoreSession(s sessions.Session) error {
	created, row, err := values(&s)
	if err != nil {
		return err
	}
	k := keysOf(&s)
	_, err = t.exec("INSERT INTO sessions (id, "+keyColumns+", created_at, "+SessionColumns+") VALUES (?, ?, ?, ?, ?, ?, "+sessionPlaceholders+")",
		append(append([]any{int64(s.ID)}, k.args(created)...), row...)...)
	return err
}

// RestoreEvent inserts an event.
func (t *Tx) RestoreEvent(e sessions.Event) error {
	row, err := eventRow(&e)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO events (seq, "+EventColumns+") VALUES (?, "+placeholders(len(row))+")", append([]any{e.Seq}, row...)...)
	return err
}

// RestoreGeneration inserts a generation; ClearGenerations comes before.
func (t *Tx) RestoreGeneration(g StoredGeneration) error {
	_, err := t.exec("INSERT INTO generations (number, generation, first_event) VALUES (?, ?, ?)", g.Number, int64(g.Generation), g.FirstEvent)
	return err
}

// ClearGenerations removes what the new database began with.
func (t *Tx) ClearGenerations() error {
	_, err := t.exec("DELETE FROM generations")
	return err
}

// LastIDs are the largest keys that a damaged database is known to have given.
type LastIDs struct{ Device, Session, Event int64 }

// AdvanceSequences has ids continue gap behind those that may have been given, and events
// behind those that subscribers may know, with e.
func (t *Tx) AdvanceSequences(last LastIDs, gap int64, e sessions.Event) error {
	for _, at := range []struct {
		table string
		id    int64
	}{{"devices", last.Device}, {"sessions", last.Session}} {
		if _, err := t.exec("DELETE FROM sqlite_sequence WHERE name = ?", at.table); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", at.table, at.id+gap); err != nil {
			return err
		}
	}
	e.Seq = last.Event + gap
	return t.RestoreEvent(e)
}

// ColumnDefaults returns the defaults of a table's columns, as SQL.
func (t *Tx) ColumnDefaults(table string) (map[string]string, error) {
	defaults := make(map[string]string)
	err := t.each("SELECT name, coalesce(dflt_value, 'NULL') FROM pragma_table_info(?)", func(row *conn.Row) error {
		var name, value string
		err := row.Scan(&name, &value)
		defaults[name] = value
		return err
	}, table)
	return defaults, err
}
