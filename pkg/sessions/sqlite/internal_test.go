// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

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

// TestMigratedMeanwhile: another process was faster between check and apply.
func TestMigratedMeanwhile(t *testing.T) {
	s := openTest(t)
	if err := apply(t.Context(), s.write, embedded()); err != nil {
		t.Errorf("applying what is applied: %v", err)
	}
}

// TestPlans holds that the questions asked every few seconds read no more than they
// need, however many sessions were ever sold.
func TestPlans(t *testing.T) {
	s := openTest(t)
	for query, index := range map[string]string{
		selectSessions + " WHERE device_id = 1 ORDER BY id":                                                                                      "sessions_by_device",
		selectSessions + " WHERE device_id = 1 AND state IN ('paused', 'available') ORDER BY id":                                                 "sessions_by_device",
		selectSessions + " WHERE state IN ('running') ORDER BY id":                                                                               "sessions_by_state",
		selectSessions + " WHERE unsaved = 1 AND id > 5 ORDER BY id":                                                                             "sessions_unsaved",
		selectSessions + " INDEXED BY sessions_by_expiry WHERE expires_at <= 5 AND state IN ('available', 'paused') ORDER BY expires_at LIMIT 5": "sessions_by_expiry",
		selectDevices + " WHERE id = (SELECT device_id FROM addresses WHERE ip = '::1')":                                                         "addresses_by_device",
		"SELECT seq FROM events WHERE seq > 5 ORDER BY seq LIMIT 10":                                                                             "PRIMARY KEY",
		"DELETE FROM events WHERE seq <= 5":                                                                                                      "PRIMARY KEY",
	} {
		plan := explainPlan(t, s, query)
		if !strings.Contains(plan, index) || strings.Contains(plan, "SCAN") && !strings.Contains(plan, "SCAN (subquery") {
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
