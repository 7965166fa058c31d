// SPDX-License-Identifier: Apache-2.0

package tables

import "github.com/hotspot-agent/hotspot-agent/pkg/sessions"

type claimTable struct{ *statements }

func (t claimTable) PutClaim(hash sessions.ClaimHash, id sessions.SessionID) error {
	_, err := t.exec("INSERT INTO claims (hash, session_id) VALUES (?, ?)", hash[:], int64(id))
	return err
}

func (t claimTable) Claim(hash sessions.ClaimHash) (sessions.SessionID, error) {
	wrong := func() error { return sessions.Errorf(sessions.NotFound, "no purchase has this code") }
	id, err := one(t.statements, wrong, scanInt, "SELECT session_id FROM claims WHERE hash = ?", hash[:])
	return sessions.SessionID(id), err
}

func (t claimTable) DeleteClaim(id sessions.SessionID) error {
	none := func() error { return sessions.Errorf(sessions.NotFound, "session %d has no claim code", id) }
	return t.change(none, "DELETE FROM claims WHERE session_id = ?", int64(id))
}
