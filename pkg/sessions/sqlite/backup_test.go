// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// sellOne has a device buy, and run, a session of data and time.
func sellOne(t *testing.T, s *Store, n byte) sessions.Session {
	t.Helper()
	sold := sessions.Session{
		Provider: sessions.LocalProvider, Type: sessions.TimeOrData, Time: time.Hour, Bytes: 1e6, State: sessions.Running,
		Created: time.Unix(1800000000, int64(n)).UTC(), Started: time.Unix(1800000000, 0).UTC(),
		Meter: sessions.Baseline{Boot: "boot", At: dataplane.Boottime(time.Minute), Epoch: 7},
	}
	err := s.Update(t.Context(), func(tx sessions.Tx) error {
		d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, 0, 0, n}, Created: sold.Created}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		sold.Device = d.ID
		return tx.PutSession(&sold)
	})
	if err != nil {
		t.Fatal(err)
	}
	return sold
}

func sessionsAt(t *testing.T, path string) []sessions.Session {
	t.Helper()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	list, err := sessions.View(t.Context(), s, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.Sessions(sessions.SessionFilter{}) })
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A backup is whole while an agent writes; what ran is debited up to the checkpoint; what
// was sold later is not in it, and kept where the restore found it.
func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "state", "hotspot.db"), filepath.Join(dir, "backup.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := sellOne(t, s, 1)
	if err := s.PutCheckpoint(sessions.Checkpoint{
		Boot: "boot", At: dataplane.Boottime(2 * time.Minute), Epoch: 7, Spent: []sessions.Count{{Account: first.Account(), Spent: 5000}},
	}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = s.Commit(context.WithoutCancel(t.Context()), func(tx sessions.Tx) error { return tx.AppendEvent(&sessions.Event{Message: "traffic"}) })
			}
		}
	})
	err = Backup(t.Context(), path, file)
	close(stop)
	writing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup is %v, %v", info, err)
	}
	if err := Backup(t.Context(), path, file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that exists: %v", err)
	}
	sellOne(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := Restore(t.Context(), path, file, time.Unix(1800000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	list := sessionsAt(t, path)
	if len(list) != 1 || list[0].Used != 5000 || list[0].TimeUsed != time.Minute || list[0].State != sessions.Running {
		t.Errorf("restored is %+v", list)
	}
	if kept := sessionsAt(t, done.Replaced); len(kept) != 2 {
		t.Errorf("%s has %d sessions", done.Replaced, len(kept))
	}
	onlyHas(t, dir, "backup.db", "state")
	other := filepath.Join(dir, "new", "hotspot.db") // a new router
	if done, err := Restore(t.Context(), other, file, time.Now()); err != nil || done.Replaced != "" {
		t.Errorf("on a new router: %+v, %v", done, err)
	}
	if list := sessionsAt(t, other); len(list) != 1 {
		t.Errorf("there are %+v", list)
	}
}

func onlyHas(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("%s has %v, want %v", dir, names, want)
	}
}

// What is no backup changes nothing.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hotspot.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sellOne(t, s, 1)
	newer := filepath.Join(dir, "newer")
	if err := Backup(t.Context(), path, newer); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damaged, text := filepath.Join(dir, "damaged"), filepath.Join(dir, "text")
	raw, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, append(raw[:4096:4096], make([]byte, len(raw)-4096)...), 0o600); err != nil {
		t.Fatal(err)
	}
	raw[63] = 99 // user_version, https://www.sqlite.org/fileformat.html#user_version_number
	if err := os.WriteFile(newer, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("not a database at all, but text of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{
		newer: "made by a newer agent", damaged: "damaged", text: "not an SQLite database",
		dir: "not a regular file", path: "is the database itself", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := Restore(t.Context(), path, from, time.Now()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), from) {
			t.Errorf("%s: %v, want %q", from, err, want)
		}
	}
	if list := sessionsAt(t, path); len(list) != 1 {
		t.Errorf("the database has %+v", list)
	}
	onlyHas(t, dir, "damaged", "hotspot.db", "newer", "text")
}

// On a full disk neither leaves anything half.
func TestBackupOnAFullDisk(t *testing.T) {
	dir, small := t.TempDir(), filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=32k"); err != nil {
		t.Fatalf("tmpfs: %v", err)
	}
	defer func() { _ = unix.Unmount(small, unix.MNT_DETACH) }()
	path := filepath.Join(dir, "hotspot.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sellOne(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, filepath.Join(small, "backup.db")); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("backup: %v", err)
	}
	onlyHas(t, small)
	if _, err := Restore(t.Context(), filepath.Join(small, "hotspot.db"), path, time.Now()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("restore: %v", err)
	}
	onlyHas(t, small)
}
