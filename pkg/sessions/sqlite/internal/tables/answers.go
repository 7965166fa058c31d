// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"crypto/sha256"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

type answerTable struct{ *statements }

// AnswerColumns are the columns behind the number, in the order of [ScanAnswer].
const AnswerColumns = "key, request, sealed, created_at"

func (t answerTable) Answer(key [sha256.Size]byte) (sessions.Answer, error) {
	none := func() error { return sessions.Errorf(sessions.NotFound, "nothing was answered to this key") }
	a, err := one(t.statements, none, ScanAnswer, "SELECT number, "+AnswerColumns+" FROM answers WHERE key = ?", key[:])
	return a.Answer, err
}

// PutAnswer trims once in a while, as AppendEvent does.
func (t answerTable) PutAnswer(a sessions.Answer) error {
	var c checker
	row := []any{a.Key[:], a.Request[:], a.Sealed, c.wall("created_at", a.Created)}
	if c.err != nil {
		return c.err
	}
	number, err := t.insert("INSERT OR REPLACE INTO answers ("+AnswerColumns+") VALUES (?, ?, ?, ?)", row...)
	if err != nil || number%trimEvery != 0 {
		return err
	}
	if _, err := t.exec("DELETE FROM answers WHERE number <= ?", number-sessions.MaxAnswers); err != nil || a.Created.Before(dataplane.EarliestClock) {
		return err
	}
	_, err = t.exec(`DELETE FROM answers WHERE number <
		(SELECT number FROM answers WHERE created_at >= ? ORDER BY number LIMIT 1)`, a.Created.Add(-sessions.AnswerAge).UnixNano())
	return err
}

// StoredAnswer is an answer and its place in their order.
type StoredAnswer struct {
	Number int64
	sessions.Answer
}

// ScanAnswer reads the number and the columns.
func ScanAnswer(row *conn.Row) (a StoredAnswer, err error) {
	var key, request []byte
	err = row.Scan(&a.Number, &key, &request, &a.Sealed, &a.Created)
	copy(a.Key[:], key)
	copy(a.Request[:], request)
	return a, err
}
