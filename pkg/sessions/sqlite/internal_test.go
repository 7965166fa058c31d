// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
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

// TestPragmas reads those of each kind of connection: one that a pragma missed
// would lose purchases or break references unseen.
func TestPragmas(t *testing.T) {
	s := openTest(t)
	const normal = 1 // see wal
	for range maxReaders {
		c, err := s.readers.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.readers.release(c, true)
		wantPragmas(t, "reader", map[string]int64{"query_only": 1, "busy_timeout": 5000}, c)
	}
	c, err := s.writer.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writer.release(c, true)
	wantPragmas(t, "writer", map[string]int64{"synchronous": normal, "foreign_keys": 1, "busy_timeout": 5000, "query_only": 0}, c)
	if err := c.Query("PRAGMA journal_mode", func(row *conn.Row) error {
		var mode string
		err := row.Scan(&mode)
		if mode != "wal" {
			t.Errorf("journal_mode is %q", mode)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func wantPragmas(t *testing.T, kind string, want map[string]int64, c *conn.Conn) {
	t.Helper()
	for name, value := range want {
		err := c.Query("PRAGMA "+name, func(row *conn.Row) error {
			var got int64
			err := row.Scan(&got)
			if got != value {
				t.Errorf("%s: %s is %d, want %d", kind, name, got, value)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %s: %v", kind, name, err)
		}
	}
}

// pragma sets one of the connection that writes.
func (s *Store) pragma(t *testing.T, text string) {
	t.Helper()
	c, err := s.writer.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writer.release(c, true)
	if err := c.Query("PRAGMA "+text, func(*conn.Row) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	s := openTest(t)
	s.pragma(t, "max_page_count = 24")
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
	db, err := sql.Open("sqlite3", writeDSN(s.path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := schema.Apply(t.Context(), db, schema.Embedded()); err != nil {
		t.Errorf("applying what is applied: %v", err)
	}
}

func TestWithCodeLeavesOtherErrorsAlone(t *testing.T) {
	s := &Store{path: "x"}
	other := errors.New("other")
	if got := s.withCode(other); !errors.Is(got, other) || got.Error() != "other" {
		t.Errorf("withCode changed %v to %v", other, got)
	}
	if got := s.withCode(nil); got != nil {
		t.Errorf("withCode made %v of nil", got)
	}
}
