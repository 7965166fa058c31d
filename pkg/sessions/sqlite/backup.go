// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/checkpoint"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
)

// Backup writes a copy of the database at path to a new file, mode 0600, also while an
// agent uses it. It is one transaction's view. What running sessions used is in it up to
// the last checkpoint, so that one file is enough. When Backup returns nil it is on the
// disk; of a failure nothing is left. It wraps fs.ErrExist where the file exists.
func Backup(ctx context.Context, path, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s: %w; name another file, or remove it", to, fs.ErrExist)
	}
	version, err := Check(ctx, path)
	if err != nil {
		return err
	}
	if known := len(schema.Embedded()); version != known {
		return fmt.Errorf("database %s has schema version %d, this program writes %d: restart the agent, which is of another version", path, version, known)
	}
	// Before the copy: its rows are as old, or know more.
	k, g, err := checkpoint.Beside(path).Last()
	if err != nil {
		return fmt.Errorf("checkpoint of %s: %w", path, err)
	}
	part, err := newPart(to)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(part) }() // after the rename there is none
	if err := copyFile(ctx, path, part); err != nil {
		return explain(to, err)
	}
	if err := debitCheckpoint(ctx, part, k, g); err != nil {
		return explain(to, err)
	}
	return rename(part, to)
}

// newPart makes the file, beside a new one, that is to become it.
func newPart(to string) (string, error) {
	file, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".part-*") // mode 0600
	if err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}

// copyFile copies a database, with what is in its WAL.
func copyFile(ctx context.Context, from, to string) error {
	db, err := sql.Open("sqlite3", journal.DSN(from, url.Values{"mode": {"ro"}}))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was read
	return schema.CopyInto(ctx, db, to)
}

// debitCheckpoint debits to the running sessions of a copy what they had used by the
// checkpoint of generation g. In the row it needs no checkpoint file beside it.
func debitCheckpoint(ctx context.Context, path string, k sessions.Checkpoint, g sessions.Generation) error {
	c, err := conn.Open(journal.DSN(path, url.Values{"_journal_mode": {"MEMORY"}, "_synchronous": {"FULL"}}))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	tx, err := tables.Begin(ctx, c, readWrite, g)
	if err != nil {
		return err
	}
	defer func() { _ = tx.End() }()
	if _, err := tx.LastEventOf(g); g != 0 && sessions.CodeOf(err) == sessions.NotFound {
		return nil // it is of another history
	}
	marks := k.Index()
	list, err := tx.Sessions(sessions.SessionFilter{States: []sessions.State{sessions.Running}})
	if err != nil {
		return err
	}
	for _, s := range list {
		marks.Debit(&s)
		if err := tx.PutSession(&s); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rename gives a whole file its name, unless that is taken meanwhile.
func rename(part, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system does not know it
		err = os.Rename(part, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return disk.SyncParent(to)
}

// Restored is what Restore did.
type Restored struct {
	Replaced string // the former database, with what was beside it; "" for none
}

// Restore puts a copy of a backup in the place of the database at path, which no agent may
// use. The backup is read as a whole before anything is changed: one that is no database of
// this agent, is damaged, or of a newer agent is refused. The former database is kept under
// another name. After a power cut meanwhile the next [Open] finishes it, or nothing has
// changed. The next Open begins a new generation, so that numbers that the copy gives again
// are not taken for those of the former database.
func Restore(ctx context.Context, path, from string, now time.Time) (r Restored, err error) {
	if _, err := Check(ctx, from); err != nil {
		return r, fmt.Errorf("no backup: %w", err)
	}
	if same(path, from) {
		return r, fmt.Errorf("%s is the database itself, not a backup of it", from)
	}
	if err := finishRescue(path); err != nil {
		return r, fmt.Errorf("database %s: %w", path, err)
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return r, fmt.Errorf("database %s: %w", path, err)
	}
	place := path + ".restoring"
	if err := disk.Remove(place); err != nil { // of a restore that was broken off
		return r, err
	}
	defer func() { _ = os.Remove(place) }() // after the rename there is none
	if err := copyFile(ctx, from, place); err != nil {
		return r, explain(path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		if r.Replaced, err = freeName(path + ".replaced-" + now.UTC().Format("20060102T150405Z")); err != nil {
			return r, err
		}
		if err := setAside(path, r.Replaced); err != nil {
			return r, fmt.Errorf("keeping %s: %w", path, err)
		}
	}
	if err := os.Rename(place, path+".rescued"); err != nil {
		return r, err
	}
	return r, finishRescue(path)
}

func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
