// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// history is a database in a folder of its own, whose agent is not running.
type history struct {
	t    *testing.T
	path string
}

func newHistory(t *testing.T) history {
	t.Helper()
	return history{t, filepath.Join(t.TempDir(), "hotspot.db")}
}

// run opens the database, and returns what an agent notes of it.
func (h history) run(fn func(*sqlite.Store)) (g sessions.Generation) {
	h.t.Helper()
	store := open(h.t, h.path)
	fn(store)
	g, err := sessions.View(h.t.Context(), store, sessions.Tx.Generation)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		h.t.Fatal(err)
	}
	return g
}

// copied is a backup of it, which cp makes.
func (h history) copied() history {
	h.t.Helper()
	c := newHistory(h.t)
	for _, part := range []string{"", "-checkpoint0", "-checkpoint1"} {
		if data, err := os.ReadFile(h.path + part); err == nil {
			write(h.t, c.path+part, data)
		}
	}
	return c
}

func happen(t *testing.T, store *sqlite.Store, events int) {
	t.Helper()
	err := store.Update(t.Context(), func(tx sessions.Tx) error {
		for range events {
			if err := tx.AppendEvent(&sessions.Event{Type: sessions.SessionUpdated}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The kind: event numbers, ids and checkpoints of two histories of one database are
// distinguished, whichever copy is put back when.
func TestGenerationsDistinguishHistories(t *testing.T) {
	original := newHistory(t)
	first := original.run(func(s *sqlite.Store) { addDevice(t, s, 1); happen(t, s, 5) })
	backup := original.copied()
	lost := original.run(func(s *sqlite.Store) {
		happen(t, s, 7)
		if err := s.PutCheckpoint(sessions.Checkpoint{Boot: "this", At: 9, Spent: []sessions.Count{{Account: 1, Spent: 5}}}); err != nil {
			t.Fatal(err)
		}
	})
	own := original.run(func(s *sqlite.Store) {
		if k, err := s.Checkpoint(); err != nil || len(k.Spent) != 1 {
			t.Errorf("after a restart the checkpoint is %+v, %v", k, err)
		}
	})
	if err := os.Rename(backup.path, original.path); err != nil {
		t.Fatal(err)
	}
	tags := map[uint32]bool{first.Tag(): true, lost.Tag(): true, own.Tag(): true}
	if len(tags) != 3 {
		t.Error("two runs have the same tag")
	}
	original.run(func(s *sqlite.Store) {
		happen(t, s, 20)
		wantLast := func(g sessions.Generation, want int64, code sessions.Code) {
			t.Helper()
			err := s.View(t.Context(), func(tx sessions.Tx) error {
				last, err := tx.LastEventOf(g)
				if last != want || err != nil && sessions.CodeOf(err) != code || err == nil && code != "" {
					t.Errorf("the last event of %s is %d, %v; want %d", g, last, err, want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		wantLast(first, 5, "")
		wantLast(lost, 0, sessions.NotFound)
		if k, err := s.Checkpoint(); err != nil || len(k.Spent) != 0 || k.Boot != "" {
			t.Errorf("the checkpoint of the lost history counts: %+v, %v", k, err)
		}
		d := sessions.Device{MAC: dataplane.MAC{2, 9}}
		bought := sessions.Session{Provider: sessions.LocalProvider, State: sessions.Available}
		err := s.Update(t.Context(), func(tx sessions.Tx) error {
			if err := tx.PutDevice(&d); err != nil {
				return err
			}
			bought.Device = d.ID
			return tx.PutSession(&bought)
		})
		if err != nil || tags[bought.Tag] {
			t.Errorf("a session sold after the restore has the tag of a former run: %+v, %v", bought, err)
		}
	})
}
