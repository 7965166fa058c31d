// SPDX-License-Identifier: Apache-2.0

package sqlite

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

func (t *tx) PutClaim(hash sessions.ClaimHash, id sessions.SessionID) error {
	_, err := t.exec("INSERT INTO claims (hash, session_id) VALUES (?, ?)", hash[:], id)
	return err
}

func (t *tx) Claim(hash sessions.ClaimHash) (sessions.SessionID, error) {
	wrong := func() error { return sessions.Errorf(sessions.NotFound, "no purchase has this code") }
	scan := func(row scanner) (id sessions.SessionID, err error) { return id, row.Scan(&id) }
	return one(t, wrong, scan, "SELECT session_id FROM claims WHERE hash = ?", hash[:])
}

func (t *tx) DeleteClaim(id sessions.SessionID) error {
	none := func() error { return sessions.Errorf(sessions.NotFound, "session %d has no claim code", id) }
	return t.change(none, "DELETE FROM claims WHERE session_id = ?", id)
}
