// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
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
	db, err := sql.Open("sqlite3", s.journal.WriteDSN(s.path))
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

// Generations and answers do not grow for ever.
func TestGenerationsAndAnswersAreTrimmed(t *testing.T) {
	s := openTest(t)
	began := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	put := func(number int, at time.Time) {
		t.Helper()
		err := s.Commit(t.Context(), func(tx sessions.Tx) error {
			for i := range 2 * sessions.MaxAnswers / 4 {
				a := sessions.Answer{Sealed: []byte("x"), Created: at}
				binary.LittleEndian.PutUint64(a.Key[:], uint64(number+i))
				if err := tx.PutAnswer(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := func(table string) string { return texts(t, openReadOnly(t, s.path), "SELECT count(*) FROM "+table)[0] }
	for n := range 4 {
		put(n<<32, began)
	}
	if n := rows("answers"); n != fmt.Sprint(sessions.MaxAnswers) {
		t.Errorf("%s answers are kept, want the last %d", n, sessions.MaxAnswers)
	}
	for n := range 200 {
		err := s.Commit(t.Context(), func(tx sessions.Tx) error {
			for range 10 {
				if err := tx.(*tables.Tx).BeginGeneration(sessions.Generation(n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := rows("generations"); n != fmt.Sprint(tables.KeepGenerations) {
		t.Errorf("%s generations are kept, want %d", n, tables.KeepGenerations)
	}
	put(9<<32, began.Add(sessions.AnswerAge+time.Second))
	if n := rows("answers"); n != fmt.Sprint(sessions.MaxAnswers/2) {
		t.Errorf("%s answers are kept a week later, want the %d of that day", n, sessions.MaxAnswers/2)
	}
}
