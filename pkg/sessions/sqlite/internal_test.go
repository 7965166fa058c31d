// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "hotspot.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestPragmas looks at each connection of the pools: one that a pragma missed
// would lose purchases or break references unseen.
func TestPragmas(t *testing.T) {
	s := openTest(t)
	const normal = 1 // see wal
	for range readers {
		conn, err := s.read.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		wantPragmas(t, "reader", map[string]int{"query_only": 1, "busy_timeout": 5000},
			func(name string) (int, error) { return pragma(t.Context(), conn, name) })
	}
	wantPragmas(t, "writer", map[string]int{"synchronous": normal, "foreign_keys": 1, "busy_timeout": 5000, "query_only": 0},
		func(name string) (int, error) { return pragma(t.Context(), s.write, name) })
	var mode string
	if err := s.write.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode is %q, %v", mode, err)
	}
}

func wantPragmas(t *testing.T, who string, want map[string]int, read func(string) (int, error)) {
	t.Helper()
	for name, value := range want {
		if got, err := read(name); err != nil || got != value {
			t.Errorf("%s: %s is %d, want %d (%v)", who, name, got, value, err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	s := openTest(t)
	if _, err := s.write.Exec("PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	fill := func(tx sessions.Tx) error {
		for range 1000 {
			if err := tx.AppendEvent(&sessions.Event{Message: strings.Repeat("x", 1000)}); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.Update(t.Context(), fill)
	if sessions.CodeOf(err) != sessions.Unavailable || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a full disk: %v", err)
	}
	one := sessions.Event{Message: "small"}
	if err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.AppendEvent(&one) }); err != nil || one.Seq != 1 {
		t.Errorf("what still fits, after it: event %d, %v", one.Seq, err)
	}
}

// TestMigrateStepwise applies one migration after the other, fails in the middle of
// one, and goes on where it was.
func TestMigrateStepwise(t *testing.T) {
	s := openTest(t)
	all := embedded()
	last := len(all)
	all = append(all,
		migration{last + 1, "9998_notes.sql", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')"},
		migration{last + 2, "9999_broken.sql", "CREATE TABLE half (x TEXT); CREATE TABLE notes (again TEXT)"})
	err := migrate(t.Context(), s.write, all, s.log)
	if err == nil || !strings.Contains(err.Error(), "9999_broken.sql") {
		t.Fatalf("the broken migration: %v", err)
	}
	if v, _ := pragma(t.Context(), s.write, "user_version"); v != last+1 {
		t.Errorf("version %d after the last migration failed, want %d", v, last+1)
	}
	all[last+1].sql = "ALTER TABLE notes ADD COLUMN more TEXT"
	if err := migrate(t.Context(), s.write, all, s.log); err != nil {
		t.Fatal(err)
	}
	var half int
	if err := s.write.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").Scan(&half); err != nil || half != 0 {
		t.Errorf("the failed migration left %d tables (%v)", half, err)
	}
}

// TestMigrateFromTheFirst: what the first version stored is there in this one.
func TestMigrateFromTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	const rows = `
		INSERT INTO devices (mac, ips, hostname, created_at) VALUES ('02:00:5e:10:00:01', '["10.0.0.7"]', 'phone', 1);
		INSERT INTO sessions (device_id, state, provider, type, time_ns, time_used_ns, data_bytes, data_used_bytes,
			down_bps, up_bps, use_global_speed, token, unsaved,
			meter_epoch, meter_spent, meter_drops, meter_boot, meter_at_ns, meter_low)
			VALUES (1, 'paused', 'local', 0, 3600000000000, 60000000000, 0, 0, 0, 0, 0, '', 0, 0, 0, 0, '', 0, 0);
		INSERT INTO events (time, type, device_id, mac, session_id, reason, message)
			VALUES (1, 'session.paused', 1, '02:00:5e:10:00:01', 1, 'request', '')`
	err = apply(t.Context(), db, embedded()[0])
	if err == nil {
		_, err = db.ExecContext(t.Context(), rows)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = s.View(t.Context(), func(tx sessions.Tx) error {
		d, err1 := tx.Device(1)
		kept, err2 := tx.Session(1)
		events, err3 := tx.Events(0, 0)
		if d.IPs[0].String() != "10.0.0.7" || d.Bound.IsValid() || kept.RemainingTime() != 59*time.Minute || len(events) != 1 {
			t.Errorf("migrated to %+v, %+v, %+v", d, kept, events)
		}
		return errors.Join(err1, err2, err3)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMigratedMeanwhile: another process was faster between check and apply.
func TestMigratedMeanwhile(t *testing.T) {
	s := openTest(t)
	if err := apply(t.Context(), s.write, embedded()[0]); err != nil {
		t.Errorf("applying what is applied: %v", err)
	}
}

// TestPlans holds that the questions asked every few seconds read no more than they
// need, however many sessions were ever sold.
func TestPlans(t *testing.T) {
	s := openTest(t)
	for query, index := range map[string]string{
		selectSessions + " WHERE device_id = 1 ORDER BY id":                                      "sessions_by_device",
		selectSessions + " WHERE device_id = 1 AND state IN ('paused', 'available') ORDER BY id": "sessions_by_device",
		selectSessions + " WHERE state IN ('running') ORDER BY id":                               "sessions_by_state",
		"SELECT seq FROM events WHERE seq > 5 ORDER BY seq LIMIT 10":                             "PRIMARY KEY",
		"DELETE FROM events WHERE seq <= 5":                                                      "PRIMARY KEY",
	} {
		plan := explainPlan(t, s, query)
		if !strings.Contains(plan, index) || strings.Contains(plan, "SCAN") {
			t.Errorf("%s\nis answered by: %s\nwant: %s", query, plan, index)
		}
	}
}

func explainPlan(t *testing.T, s *Store, query string) string {
	t.Helper()
	rows, err := s.write.Query("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "; ")
}

func TestCodedLeavesOtherErrorsAlone(t *testing.T) {
	s := &Store{path: "x"}
	other := errors.New("other")
	if got := s.coded(other); !errors.Is(got, other) || got.Error() != "other" {
		t.Errorf("coded changed %v to %v", other, got)
	}
	if got := s.coded(nil); got != nil {
		t.Errorf("coded made %v of nil", got)
	}
}
