// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// furnished makes a database with a row of every kind, and closes it.
func furnished(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hotspot.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), furnish); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// spoil changes rows as a flipped byte does: no rule of the schema is asked.
func spoil(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", writeDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for _, statement := range append([]string{"PRAGMA ignore_check_constraints = ON", "PRAGMA foreign_keys = OFF"}, statements...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func mustRescue(t *testing.T, path string) Rescued {
	t.Helper()
	rescued, err := Rescue(t.Context(), path, time.Unix(1_800_000_000, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	return rescued
}

func eventsOf(t *testing.T, path string) (all []sessions.Event) {
	t.Helper()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = s.View(t.Context(), func(tx sessions.Tx) (err error) {
		all, err = tx.Events(0, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Events keep their numbers and all that they say, and the one that tells of the rescue
// comes behind them.
func TestRescueKeepsEvents(t *testing.T) {
	path := furnished(t)
	spoil(t, path, "UPDATE events SET seq = seq + 500000")
	before := eventsOf(t, path)
	rescued := mustRescue(t, path)
	after := eventsOf(t, path)
	if rescued.Unread != 0 || len(after) != len(before)+1 {
		t.Fatalf("%d events of %d, %+v", len(after), len(before), rescued)
	}
	if diff := cmp.Diff(before, after[:len(before)]); diff != "" {
		t.Errorf("events changed (-before +after):\n%s", diff)
	}
	told := after[len(before)]
	if told.Type != sessions.DatabaseRescued || told.Seq <= before[len(before)-1].Seq {
		t.Errorf("it is told by %+v", told)
	}
}

// Where no event can be stored again, numbers go on behind those that were given.
func TestRescueGoesOnBehindLostEvents(t *testing.T) {
	path := furnished(t)
	spoil(t, path, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'events'",
		"PRAGMA writable_schema = RESET", "UPDATE events SET seq = seq + 500000, session_id = 'x'")
	mustRescue(t, path)
	if events := eventsOf(t, path); len(events) != 1 || events[0].Seq <= 500_005 {
		t.Errorf("events: %+v", events)
	}
}
