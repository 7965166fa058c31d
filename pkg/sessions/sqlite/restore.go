// SPDX-License-Identifier: Apache-2.0

package sqlite

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

// What a rescue writes: rows with the ids that they had.

func (t *tx) restoreDevice(d sessions.Device) error {
	id := d.ID
	if _, err := t.exec("INSERT INTO devices (id, mac, ips, hostname, created_at) VALUES (?, ?, '[]', '', NULL)", id, d.MAC.String()); err != nil {
		return err
	}
	return t.PutDevice(&d)
}

func (t *tx) restoreSession(s sessions.Session) error {
	row, err := figures(&s)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO sessions (id, device_id, state, "+sessionFigures+") VALUES (?, ?, ?, "+figureMarks+")",
		append([]any{s.ID, s.Device, string(s.State)}, row...)...)
	return err
}

func (t *tx) restoreEvent(e sessions.Event) error {
	var c checker
	_, err := t.exec(`INSERT INTO events (seq, time, type, device_id, mac, session_id, reason, message)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, e.Seq, c.wall("time", e.Time), string(e.Type), e.Device, e.MAC, e.Session, e.Reason, e.Message)
	return err
}

// goOn has ids go on behind those that may have been given, and events behind those
// that subscribers may know.
func (t *tx) goOn(device, session int64, e sessions.Event) error {
	for _, at := range []struct {
		table string
		id    int64
	}{{"devices", device}, {"sessions", session}} {
		if _, err := t.exec("DELETE FROM sqlite_sequence WHERE name = ?", at.table); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", at.table, at.id); err != nil {
			return err
		}
	}
	events, err := one(t, nil, scanNumber, "SELECT coalesce(max(seq), 0) FROM events")
	if err != nil {
		return err
	}
	e.Seq = events + idGap
	return t.restoreEvent(e)
}

func scanNumber(row scanner) (n int64, err error) {
	err = row.Scan(&n)
	return n, err
}
