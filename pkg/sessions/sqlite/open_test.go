// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

func TestOpenMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lib", "hotspot agent?#%", "hotspot.db")
	store := open(t, path)
	addDevice(t, store, 1)
	for name, want := range map[string]fs.FileMode{
		filepath.Dir(path): 0o700 | fs.ModeDir, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %s, want %s", name, info.Mode(), want)
		}
	}
}

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	var log bytes.Buffer
	var want sessions.Device
	for i := range 2 {
		store, err := sqlite.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = addDevice(t, store, 1)
		} else if got := devices(t, store); len(got) != 1 || got[0].ID != want.ID || got[0].MAC != want.MAC {
			t.Errorf("after opening again: %v, want %v", got, want)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "migrated"); n != 1 {
		t.Errorf("migrations were logged %d times:\n%s", n, log.String())
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Close left the WAL behind: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	cases := []struct {
		name string
		make func(tb testing.TB, path string)
		want []string // in the message
	}{
		{"text", text,
			[]string{"not an SQLite database", "backup"}},
		{"a directory", directory, []string{"cannot be opened", "is a file"}},
		{"another program's", executed("CREATE TABLE songs (name TEXT)"),
			[]string{"another program's", "state_dir"}},
		{"newer", createdAnd("PRAGMA user_version = 99"), []string{"version 99", "up to version 6", "newer agent"}},
		{"migration edited", createdAnd("UPDATE schema_migrations SET sha256 = 'beef' WHERE version = 1"), []string{"0001_init.sql", "edited", "beef"}},
		{"migration not on record", createdAnd("DELETE FROM schema_migrations"), []string{"migration 1", "not on record"}},
		{"schema damaged", damagedSchema, []string{"damaged", "backup"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hotspot.db")
			c.make(t, path)
			store, err := sqlite.Open(path, nil)
			if err == nil {
				_ = store.Close()
				t.Fatal("Open took it")
			}
			for _, want := range append(c.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
		})
	}
}

func TestOpenWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := sqlite.Open(filepath.Join(file, "hotspot.db"), nil); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Open below a file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	if _, err := sqlite.Check(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	store := open(t, path)
	addDevice(t, store, 1)
	if version, err := sqlite.Check(t.Context(), path); version != 6 || err != nil {
		t.Errorf("of an open store: version %d, %v", version, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, path, 4096+8, 8000) // behind the schema's page
	if _, err := sqlite.Check(t.Context(), path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("of a damaged file: %v", err)
	}
}

func text(tb testing.TB, path string) {
	tb.Helper()
	write(tb, path, bytes.Repeat([]byte("not a database\n"), 500))
}

func directory(tb testing.TB, path string) {
	tb.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		tb.Fatal(err)
	}
}

func executed(query string) func(testing.TB, string) {
	return func(tb testing.TB, path string) { tb.Helper(); execute(tb, path, query) }
}

func createdAnd(query string) func(testing.TB, string) {
	return func(tb testing.TB, path string) { tb.Helper(); create(tb, path); execute(tb, path, query) }
}

func damagedSchema(tb testing.TB, path string) {
	tb.Helper()
	create(tb, path)
	damage(tb, path, 100, 300)
}

// create makes a database and closes it.
func create(tb testing.TB, path string) {
	tb.Helper()
	store, err := sqlite.Open(path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
}

// execute runs SQL on the file behind the Store's back.
func execute(tb testing.TB, path, query string) {
	tb.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(query); err != nil {
		tb.Fatal(err)
	}
}

func write(tb testing.TB, path string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// damage overwrites bytes from an offset on.
func damage(tb testing.TB, path string, offset int64, n int) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, n), offset); err != nil {
		tb.Fatal(err)
	}
}
