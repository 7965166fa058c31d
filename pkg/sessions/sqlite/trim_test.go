// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"os"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/trim"
)

// TestTrimWAL: the kind of fault is a file that grows beside another program, and stays as
// large. A reader holds the write-ahead log back; it grows, which health says with the
// reader's name, and it is cut once the reader ends, without a restart or a further write.
func TestTrimWAL(t *testing.T) {
	s := openTest(t)
	reader, err := conn.Open(journal.ReadDSN(s.path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	ignore := func(*conn.Row) error { return nil }
	for _, statement := range []string{"BEGIN", "SELECT count(*) FROM events"} {
		if err := reader.Query(statement, ignore); err != nil {
			t.Fatal(err)
		}
	}
	for s.walSize(t) <= trim.Large {
		writeMuch(t, s)
	}
	for range 2 {
		if err := s.TrimWAL(); err != nil {
			t.Fatal(err)
		}
	}
	if size := s.walSize(t); size <= trim.Large {
		t.Fatalf("the write-ahead log was cut to %d bytes beside a reader", size)
	}
	if held := s.HeldWAL(); held != "" {
		t.Errorf("a problem at once: %s", held)
	}
	writeMuch(t, s) // writers are not kept out

	if err := reader.Query("ROLLBACK", ignore); err != nil {
		t.Fatal(err)
	}
	if err := s.TrimWAL(); err != nil {
		t.Fatal(err)
	}
	if size, held := s.walSize(t), s.HeldWAL(); size > trim.Usual || held != "" {
		t.Errorf("without the reader: %d bytes, problem %q", size, held)
	}
	writeMuch(t, s)
}

// TestWALBeginsAnew: what writes alone grows it to its usual size and no more.
func TestWALBeginsAnew(t *testing.T) {
	s := openTest(t)
	for range 40 {
		writeMuch(t, s)
		if size := s.walSize(t); size > trim.Large {
			t.Fatalf("the write-ahead log has %d bytes", size)
		}
	}
}

func writeMuch(t *testing.T, s *Store) {
	t.Helper()
	err := s.Commit(t.Context(), func(tx sessions.Tx) error {
		for range 500 {
			if err := tx.AppendEvent(&sessions.Event{Message: strings.Repeat("x", 1000)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Store) walSize(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(s.wal.path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
