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
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
)

// Check reads the whole database at path without changing it, also while an agent
// uses it, and returns its schema version. It fails with one line that says what
// is wrong and what to do; with fs.ErrNotExist when there is no file.
func Check(ctx context.Context, path string) (version int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("database %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("database %s: not a regular file (%s)", path, info.Mode().Type())
	}
	db, err := sql.Open("sqlite3", journal.DSN(path, url.Values{"mode": {"ro"}, "_query_only": {"on"}}))
	if err != nil {
		return 0, explain(path, err)
	}
	defer func() { _ = db.Close() }()
	if version, err = schema.Check(ctx, db, schema.Embedded()); err != nil {
		return version, explain(path, err)
	}
	if version == 0 {
		return 0, fmt.Errorf("database %s: %w: it is empty", path, fs.ErrNotExist)
	}
	if err := quickCheck(ctx, db); err != nil {
		return version, explain(path, err)
	}
	return version, nil
}

// quickCheck verifies the structure of every page.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return fmt.Errorf("%w (%s): restart the agent, which sets it aside and keeps what can be read", ErrDamaged, oneLine(finding))
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// explain turns an error of Open into one line that says what to do.
func explain(path string, err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("database %s: %w", path, err)
	}
	if noSharedMemory(failed) {
		return fmt.Errorf("database %s: %w (%w): the agent gives it a rollback journal at its start", path, ErrNoSharedMemory, err)
	}
	switch failed.Code {
	case sqlite3.ErrNotADB:
		return fmt.Errorf("database %s: it is not an SQLite database, or %w (%w): move it away, or restore a backup", path, ErrDamaged, err)
	case sqlite3.ErrCorrupt:
		return fmt.Errorf("database %s: %w (%w): move it away and restore a backup", path, ErrDamaged, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("database %s: no space is left on its disk (%w): make room", path, err)
	case sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth:
		return fmt.Errorf("database %s: it cannot be opened for writing (%w): check that it is a file on a writable disk, and its owner and mode", path, err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("database %s: another process holds it locked: is an agent or a backup running?", path)
	}
	return fmt.Errorf("database %s: %w", path, err)
}

// ErrNoSharedMemory is a database with a write-ahead log that was moved to a file system on
// which it cannot have one. [Open] changes its journal.
var ErrNoSharedMemory = errors.New("its file system has no shared writable mmap, which a write-ahead log needs")

// noSharedMemory reports an error of the memory that connections share in WAL mode.
func noSharedMemory(failed sqlite3.Error) bool {
	switch failed.ExtendedCode {
	case sqlite3.ErrIoErrSHMMap, sqlite3.ErrIoErrSHMOpen, sqlite3.ErrIoErrSHMSize, sqlite3.ErrIoErrSHMLock:
		return true
	}
	return false
}
