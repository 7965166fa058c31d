// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

const sold = 600 // sessions: several pages of each table

// shop makes a database in which devices bought, and closes it.
func shop(t *testing.T, path string) {
	t.Helper()
	store, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), func(tx sessions.Tx) error {
		for n := range sold {
			d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)}, Hostname: "phone", Created: noon}
			if err := tx.PutDevice(&d); err != nil {
				return err
			}
			s := sessions.Session{Device: d.ID, Provider: sessions.LocalProvider, Type: sessions.Data, State: sessions.Available, Bytes: uint64(1000 + n), Created: noon}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
			e := sessions.Event{Time: noon, Type: sessions.SessionCreated, Device: d.ID, MAC: d.MAC.String(), Session: s.ID}
			if err := tx.AppendEvent(&e); err != nil {
				return err
			}
		}
		return tx.PutProvider(sessions.ProviderRecord{Name: "shop", Socket: "/s"})
	})
	if err := errors.Join(err, store.PutCheckpoint(checkpointAt(7, 3)), store.Close()); err != nil {
		t.Fatal(err)
	}
}

// rescue expects that Open refuses the file, and rescues it.
func rescue(t *testing.T, path string) (*sqlite.Store, sqlite.Rescued) {
	t.Helper()
	if store, err := sqlite.Open(path, nil); !errors.Is(err, sqlite.ErrDamaged) {
		if err == nil {
			_ = store.Close()
		}
		t.Fatalf("Open of a damaged file: %v", err)
	}
	rescued, err := sqlite.Rescue(t.Context(), path, noon, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, path), rescued
}

func sessionsOf(t *testing.T, store *sqlite.Store) (all []sessions.Session) {
	t.Helper()
	err := store.View(t.Context(), func(tx sessions.Tx) (err error) {
		all, err = tx.Sessions(sessions.SessionFilter{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whichever page of the database is lost, the rest of what was bought is kept, under
// the ids that it had, and no id is given twice.
func TestRescueOfEachPage(t *testing.T) {
	master := filepath.Join(t.TempDir(), "hotspot.db")
	shop(t, master)
	whole, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	const header, leaf = 100, 13
	if whole[header] != leaf {
		t.Error("the schema does not fit on the first page: without one of the others nothing can be read (SQLite file format, 1.6)")
	}
	const page = 4096
	perPage := 0 // of the sessions, at most, are on one
	for at := page; at < len(whole); at += page {
		t.Run(fmt.Sprint("page", at/page+1), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hotspot.db")
			write(t, path, whole)
			damage(t, path, int64(at), page)
			store, rescued := rescue(t, path)
			kept := sessionsOf(t, store)
			perPage = max(perPage, sold-len(kept))
			if len(kept) != rescued.Sessions || len(kept)+rescued.Unread < sold {
				t.Errorf("%d sessions are kept: %+v", len(kept), rescued)
			}
			for _, s := range kept {
				if s.Bytes != uint64(1000+s.ID-1) || int64(s.Device) != int64(s.ID) {
					t.Fatalf("session %d is not what it was: %+v", s.ID, s)
				}
			}
			wantNewIDs(t, store)
			if aside, err := os.ReadFile(rescued.Aside); err != nil || len(aside) != len(whole) {
				t.Errorf("the damaged file: %d bytes, %v", len(aside), err)
			}
		})
	}
	// One page is a small part; the root of a table is all of it.
	t.Logf("at most %d of %d sessions are lost with a page", perPage, sold)
}

func wantNewIDs(t *testing.T, store *sqlite.Store) {
	t.Helper()
	s := sessions.Session{Provider: sessions.LocalProvider, Type: sessions.Time, State: sessions.Available, Time: time.Hour}
	e := sessions.Event{Type: sessions.SessionCreated}
	err := store.Update(t.Context(), func(tx sessions.Tx) error {
		d := sessions.Device{MAC: dataplane.MAC{2, 9}}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		s.Device = d.ID
		return errors.Join(tx.PutSession(&s), tx.AppendEvent(&e))
	})
	if err != nil || s.Device <= sold || s.ID <= sold || e.Seq <= sold {
		t.Errorf("new are device %d, session %d, event %d: %v", s.Device, s.ID, e.Seq, err)
	}
}

// A file that shows nothing any more is kept, and a new one takes its place.
func TestRescueOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	shop(t, path)
	damage(t, path, 0, 4096)
	store, rescued := rescue(t, path)
	if got := len(sessionsOf(t, store)); got != 0 || rescued.Sessions != 0 {
		t.Errorf("%d sessions, %+v", got, rescued)
	}
	for _, part := range []string{"", "-checkpoint1"} {
		if _, err := os.Stat(rescued.Aside + part); err != nil {
			t.Errorf("set aside: %v", err)
		}
	}
	wantCheckpoint(t, path, checkpointAt(7, 3))
	err := store.View(t.Context(), func(tx sessions.Tx) error {
		events, err := tx.Events(0, 0)
		if len(events) != 1 || events[0].Type != sessions.DatabaseRescued || !strings.Contains(events[0].Message, rescued.Aside) {
			t.Errorf("events: %+v", events)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if aside := sqlite.SetAsideFiles(path); len(aside) != 1 || aside[0] != rescued.Aside {
		t.Errorf("set aside is %q", aside)
	}
}

// The power fails when the new database is ready and not yet in its place.
func TestRescueBrokenOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	shop(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".rescued", good)
	write(t, path+"-wal", []byte("of the damaged one"))
	damage(t, path, 0, 4096)
	if got := len(sessionsOf(t, open(t, path))); got != sold {
		t.Errorf("%d sessions after it", got)
	}
	if _, err := os.Stat(path + ".rescued"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still beside: %v", err)
	}
}

// Damage that shows while the database is in use is not forgotten by a restart.
func TestDamageInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	shop(t, path)
	store := open(t, path)
	damage(t, path, 4096, 30*4096)
	var err error
	for id := sessions.SessionID(1); id <= sold && err == nil; id++ {
		err = store.View(t.Context(), func(tx sessions.Tx) error { _, err := tx.Session(id); return err })
	}
	if sessions.CodeOf(err) != sessions.Unavailable || !strings.Contains(err.Error(), "restart the agent") {
		t.Fatalf("reading: %v", err)
	}
	if err := store.Health(t.Context()); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("trouble: %v", err)
	}
	_ = store.Close()
	rescue(t, path)
}
