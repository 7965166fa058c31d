// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
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
	db, err := sql.Open("sqlite3", journal.WAL.WriteDSN(path))
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

// Events keep their numbers and all that they say, and that of the rescue
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
	last := after[len(before)]
	if last.Type != sessions.DatabaseRescued || last.Seq <= before[len(before)-1].Seq {
		t.Errorf("its event is %+v", last)
	}
}

// Where no event can be stored again, numbers continue behind those that were given.
func TestRescueContinuesBehindLostEvents(t *testing.T) {
	path := furnished(t)
	spoil(t, path, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'events'",
		"PRAGMA writable_schema = RESET", "UPDATE events SET seq = seq + 500000, session_id = 'x'")
	mustRescue(t, path)
	if events := eventsOf(t, path); len(events) != 1 || events[0].Seq <= 500_005 {
		t.Errorf("events: %+v", events)
	}
}

// What was stored of a row may be nothing that can be stored. It costs that row, which is
// logged with what is left of it; the others are kept.
func TestRescueOfRowsThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		name, spoiled     string
		devices, sessions int // that are kept
		logged            string
	}{
		{"state", "UPDATE sessions SET state = 'availabme' WHERE id = 1", 5, 4, "session=1"},
		{"time used", "UPDATE sessions SET time_used_ns = -5 WHERE id = 2", 5, 4, "session=2"},
		{"type", "UPDATE sessions SET type = 7 WHERE id = 3", 5, 4, "session=3"},
		{"days", "UPDATE sessions SET exp_days = -9 WHERE id = 4", 5, 4, "session=4"},
		{"MAC", "DROP INDEX sessions_by_device; PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_devices_1';" +
			" UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE', '') WHERE name = 'devices'; PRAGMA writable_schema = RESET;" +
			" UPDATE devices SET mac = '02:00:00:00:00:02' WHERE id = 3", 4, 4, "device=3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := furnished(t)
			spoil(t, path, test.spoiled)
			var log bytes.Buffer
			rescued, err := Rescue(t.Context(), path, time.Unix(1_800_000_000, 0), slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if rescued.Devices != test.devices || rescued.Sessions != test.sessions || rescued.Unread == 0 {
				t.Errorf("kept: %+v", rescued)
			}
			if !strings.Contains(log.String(), test.logged) {
				t.Errorf("the log lacks %q:\n%s", test.logged, log.String())
			}
			create(t, path)
		})
	}
}

// A session that is left out is no reason to fail where there is no log.
func TestRescueWithoutLog(t *testing.T) {
	path := furnished(t)
	spoil(t, path, "UPDATE sessions SET device_id = 77 WHERE id = 1")
	if rescued := mustRescue(t, path); rescued.Sessions != 4 || rescued.Unread != 1 {
		t.Errorf("kept: %+v", rescued)
	}
}

// Open reads the whole file before it migrates: on the day of an upgrade what is rescued
// has the schema of the former agent.
func TestRescueOfEverySchema(t *testing.T) {
	for version := 1; version <= len(schema.Embedded()); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := unpack(t, fixture(version))
			before := rowsOf(t, path)
			moved := movedTo(before)
			losePage(t, path, "providers")
			if _, err := Open(path, nil); !errors.Is(err, ErrDamaged) {
				t.Fatalf("Open of a damaged file: %v", err)
			}
			mustRescue(t, path)
			create(t, path)
			delete(before, "providers")
			delete(before, "claims")
			after := rowsWith(t, path, before)
			for column, values := range after["events"] {
				after["events"][column] = values[:len(values)-1] // the last is that of the rescue
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("what was there changed (-before +after):\n%s", diff)
			}
			for query, want := range moved {
				got := texts(t, openReadOnly(t, path), query)
				if strings.Contains(query, "addresses") { // of one that two devices had the last stays
					got, want = []string{strconv.Itoa(len(got))}, []string{strconv.Itoa(len(want))}
				} else {
					got = got[:len(want)]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-before +after):\n%s", query, diff)
				}
			}
		})
	}
}

// losePage overwrites the first page of a table.
func losePage(t *testing.T, path, table string) {
	t.Helper()
	page, err := strconv.ParseInt(texts(t, openReadOnly(t, path), "SELECT rootpage FROM sqlite_schema WHERE name = '"+table+"'")[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const size = 4096
	_, err = file.WriteAt(bytes.Repeat([]byte{0xa5}, size), (page-1)*size)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// Other pages can be written, and the disk may come and go: it stays known that the file
// is damaged.
func TestDamageStaysKnown(t *testing.T) {
	s := openTest(t)
	s.noteDamage(sqlite3.Error{Code: sqlite3.ErrCorrupt})
	touch := func(tx sessions.Tx) error { return tx.PutProvider(sessions.ProviderRecord{Name: "shop"}) }
	if err := s.Update(t.Context(), touch); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("after a write that went well: %v", err)
	}
	s.noteWrite(sqlite3.Error{Code: sqlite3.ErrFull})
	if err := s.Health(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("after a disk that was full: %v", err)
	}
}

// What is wrong with the disk is over with a write that went well.
func TestDiskRecovers(t *testing.T) {
	s := openTest(t)
	s.noteWrite(sqlite3.Error{Code: sqlite3.ErrFull})
	if s.health.Load() == nil {
		t.Fatal("a full disk is healthy")
	}
	if err := s.Health(t.Context()); err != nil || s.health.Load() != nil {
		t.Errorf("after a write that went well: %v", err)
	}
}

// A customer's code is worth what was bought: it names the session after a rescue too.
func TestRescueKeepsClaims(t *testing.T) {
	for _, lost := range []string{"providers", "sqlite_autoindex_claims_2"} {
		t.Run(lost, func(t *testing.T) {
			path := furnished(t)
			spoil(t, path, "UPDATE sessions SET type = 7 WHERE id = 2")
			losePage(t, path, lost)
			mustRescue(t, path)
			s, err := Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = s.View(t.Context(), func(tx sessions.Tx) error {
				for id := sessions.SessionID(1); id <= 5; id++ {
					got, err := tx.Claim(sessions.ClaimHash{byte(id - 1)})
					if id == 2 && sessions.CodeOf(err) != sessions.NotFound {
						t.Errorf("the code of a session that is lost: %d, %v", got, err)
					}
					if id != 2 && got != id {
						t.Errorf("the code of session %d: %d, %v", id, got, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A stick with a file system that has no hard links gets a copy.
func TestSetAsideWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("sold"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, refusal := range []error{unix.EPERM, unix.EOPNOTSUPP} {
		link := func(string, string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: refusal} }
		if err := secondName(link, from, to); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(to); string(data) != "sold" {
			t.Errorf("the copy: %q, %v", data, err)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
	link := func(string, string) error { return unix.EIO }
	if err := secondName(link, from, to); !errors.Is(err, unix.EIO) {
		t.Errorf("a disk that fails: %v", err)
	}
}
