// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// KeepGenerations is how many are kept: an agent that is started ten times a day reaches
// back a quarter of a year, its events less.
const KeepGenerations = 1000

type generationTable struct{ *statements }

// Generation returns the latest, 0 when there is none yet.
func (t generationTable) Generation() (sessions.Generation, error) {
	found, err := many(t.statements, scanGeneration, "SELECT generation FROM generations ORDER BY number DESC LIMIT 1")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// LastEventOf returns the number of the last event of a generation. NotFound for one that
// the database never had, or has forgotten.
func (t generationTable) LastEventOf(g sessions.Generation) (int64, error) {
	never := func() error { return sessions.Errorf(sessions.NotFound, "the database has no generation %s", g) }
	return one(t.statements, never, scanInt, `SELECT coalesce(
		(SELECT next.first_event - 1 FROM generations AS next WHERE next.number > this.number ORDER BY next.number LIMIT 1),
		(SELECT max(seq) FROM events), 0) FROM generations AS this WHERE generation = ?`, int64(g))
}

// BeginGeneration makes a generation the latest.
func (t generationTable) BeginGeneration(g sessions.Generation) error {
	number, err := t.insert(`INSERT INTO generations (generation, first_event)
		VALUES (?, coalesce((SELECT max(seq) FROM events), 0) + 1)`, int64(g))
	if err == nil {
		_, err = t.exec("DELETE FROM generations WHERE number <= ?", number-KeepGenerations)
	}
	return err
}

func scanGeneration(row *conn.Row) (g sessions.Generation, err error) {
	err = row.Scan((*uint64)(&g))
	return g, err
}

// StoredGeneration is a generation as it is stored.
type StoredGeneration struct {
	Number, FirstEvent int64
	Generation         sessions.Generation
}

// ScanGeneration reads number, generation and first event.
func ScanGeneration(row *conn.Row) (g StoredGeneration, err error) {
	err = row.Scan(&g.Number, (*uint64)(&g.Generation), &g.FirstEvent)
	return g, err
}
