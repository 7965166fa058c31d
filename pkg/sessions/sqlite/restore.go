// SPDX-License-Identifier: Apache-2.0

package sqlite

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

// What a rescue writes: rows with the ids that they had.

func (t *tx) restoreDevice(d sessions.Device) error {
	row, err := deviceRow(&d)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO devices (id, "+deviceColumns+") VALUES (?, ?, ?, ?, ?)", append([]any{d.ID}, row...)...)
	if err != nil {
		return err
	}
	return t.putAddresses(&d)
}

func (t *tx) restoreSession(s sessions.Session) error {
	row, err := values(&s)
	if err != nil {
		return err
	}
	k := keysOf(&s)
	_, err = t.exec("INSERT INTO sessions (id, device_id, state, expires_at, "+sessionColumns+") VALUES (?, ?, ?, ?, "+sessionPlaceholders+")",
		append([]any{s.ID, k.device, string(k.state), k.expires}, row...)...)
	return err
}

func (t *tx) restoreEvent(e sessions.Event) error {
	row, err := eventRow(&e)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO events (seq, "+eventColumns+") VALUES (?, "+placeholders(len(row))+")", append([]any{e.Seq}, row...)...)
	return err
}

// lastGiven are the largest keys that a damaged database is known to have given.
type lastGiven struct{ device, session, event int64 }

// goOn has ids go on behind those that may have been given, and events behind those
// that subscribers may know.
func (t *tx) goOn(last lastGiven, e sessions.Event) error {
	for _, at := range []struct {
		table string
		id    int64
	}{{"devices", last.device}, {"sessions", last.session}} {
		if _, err := t.exec("DELETE FROM sqlite_sequence WHERE name = ?", at.table); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", at.table, at.id+idGap); err != nil {
			return err
		}
	}
	e.Seq = last.event + idGap
	return t.restoreEvent(e)
}
