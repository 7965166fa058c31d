// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

func TestCheckDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?#.db")
	if f := checkDatabase(t.Context(), path); f.Result != resultOK || !strings.Contains(f.Detail, "not there yet") {
		t.Errorf("no file: %+v", f)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the check made the file")
	}
	store, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultOK || !strings.Contains(f.Detail, "is sound") {
		t.Errorf("while it is open: %+v", f)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[4096:], bytes.Repeat([]byte{0xa5}, 8192))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultFail || f.Advice == "" {
		t.Errorf("damaged: %+v", f)
	}
}

// A file that the daemon would refuse is not sound, though SQLite can read it.
func TestCheckDatabaseOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE songs (title TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultFail || !strings.Contains(f.Detail, "another program") {
		t.Errorf("another program's: %+v", f)
	}
}

func TestCheckDisk(t *testing.T) {
	if f := checkDisk("/nowhere/at/all"); f.Result == resultFail || !strings.HasPrefix(f.Detail, "/ ") {
		t.Errorf("a folder to be made: %+v", f)
	}
	if f := checkDisk("/dev/shm/hotspot"); f.Result != resultWarn || !strings.Contains(f.Advice, "power cut") {
		t.Errorf("in memory: %+v", f)
	}
	if f := checkDisk("/proc/1"); f.Result == resultOK {
		t.Errorf("no room: %+v", f)
	}
}
