// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/storetest"
)

func openWith(t *testing.T, path string, mode journal.Mode) *Store {
	t.Helper()
	s, err := open(path, nil, func(string) journal.Mode { return mode })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestRollbackContract: the kind of fault is a store that works only where its author's disk
// does. With the journal of a file system without shared memory it keeps the same contract,
// but that a write waits for a Snapshot.
func TestRollbackContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sessions.Store {
		t.Helper()
		return openWith(t, filepath.Join(t.TempDir(), "hotspot.db"), journal.Rollback)
	}, storetest.SnapshotUnchanged)
}

func TestRollbackPragmas(t *testing.T) {
	s := openWith(t, filepath.Join(t.TempDir(), "hotspot.db"), journal.Rollback)
	c, err := s.writer.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writer.release(c, true)
	const full = 2 // a commit is on the disk: no WAL is synced behind it
	wantPragmas(t, "writer", map[string]int64{"synchronous": full, "foreign_keys": 1, "busy_timeout": 5000}, c)
	wantJournal(t, c, "truncate")
}

func wantJournal(t *testing.T, c *conn.Conn, want string) {
	t.Helper()
	err := c.Query("PRAGMA journal_mode", func(row *conn.Row) error {
		var mode string
		err := row.Scan(&mode)
		if mode != want {
			t.Errorf("journal_mode is %q, want %q", mode, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestJournalChanges: a state_dir that moves to another file system takes all along, also
// what is only in the write-ahead log of an agent that was killed.
func TestJournalChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hotspot.db")
	running := openWith(t, path, journal.WAL)
	put := func(s *Store, n byte) {
		t.Helper()
		d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, 0, 0, n}}
		if err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&d) }); err != nil {
			t.Fatal(err)
		}
	}
	put(running, 1)
	moved := filepath.Join(dir, "moved.db")
	for _, part := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + part)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(moved+part, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n, mode := range []journal.Mode{journal.Rollback, journal.WAL, journal.Rollback} {
		s, err := open(moved, nil, func(string) journal.Mode { return mode })
		if err != nil {
			t.Fatal(err)
		}
		put(s, byte(n+2))
		count, err := sessions.View(t.Context(), s, sessions.Tx.CountDevices)
		if err != nil || count != n+2 {
			t.Errorf("with the journal %s: %d devices, %v; want %d", mode, count, err, n+2)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
