// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

type claimTable struct{ *statements }

func (t claimTable) PutClaim(hash sessions.ClaimHash, id sessions.SessionID) error {
	_, err := t.exec(`INSERT INTO claims (hash, session_id) VALUES (?, ?)
		ON CONFLICT (session_id) DO UPDATE SET hash = excluded.hash`, hash[:], int64(id))
	if !violates(err, sqlite3.ErrConstraintPrimaryKey) {
		return err
	}
	holder, err := t.Claim(hash)
	if err != nil || holder == id {
		return err
	}
	return sessions.Errorf(sessions.Conflict, "claim_hash: the code is that of session %d already", holder)
}

func (t claimTable) Claim(hash sessions.ClaimHash) (sessions.SessionID, error) {
	wrong := func() error { return sessions.Errorf(sessions.NotFound, "no purchase has this code") }
	id, err := one(t.statements, wrong, scanInt, "SELECT session_id FROM claims WHERE hash = ?", hash[:])
	return sessions.SessionID(id), err
}

func (t claimTable) ClaimOf(id sessions.SessionID) (hash sessions.ClaimHash, err error) {
	return one(t.statements, noClaim(id), scanHash, "SELECT hash FROM claims WHERE session_id = ?", int64(id))
}

func scanHash(row *conn.Row) (hash sessions.ClaimHash, err error) {
	var stored []byte
	err = row.Scan(&stored)
	copy(hash[:], stored) // of 32 bytes, which the table checks
	return hash, err
}

func (t claimTable) DeleteClaim(id sessions.SessionID) error {
	return t.change(noClaim(id), "DELETE FROM claims WHERE session_id = ?", int64(id))
}

func noClaim(id sessions.SessionID) func() error {
	return func() error { return sessions.Errorf(sessions.NotFound, "session %d has no claim code", id) }
}
