// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// explain turns an error of Open into one line that says what to do.
func explain(path string, err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("database %s: %w", path, err)
	}
	switch failed.Code {
	case sqlite3.ErrNotADB:
		return fmt.Errorf("database %s: it is not an SQLite database (%w): move it away, or restore a backup", path, err)
	case sqlite3.ErrCorrupt:
		return fmt.Errorf("database %s: it is damaged (%w): move it away and restore a backup", path, err)
	case sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth:
		return fmt.Errorf("database %s: it cannot be opened for writing (%w): check that it is a file on a writable disk, and its owner and mode", path, err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("database %s: another process holds it locked: is an agent or a backup running?", path)
	}
	return fmt.Errorf("database %s: %w", path, err)
}

// coded gives an error of a statement the code that a caller can act on. Errors
// that already carry one, and those nobody can act on, stay as they are.
func (s *Store) coded(err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return sessions.Errorf(sessions.Unavailable, "the database %s is locked by another process: %w", s.path, err)
	case sqlite3.ErrFull:
		return sessions.Errorf(sessions.Unavailable, "no space is left for the database %s, nothing was stored: %w", s.path, err)
	}
	return fmt.Errorf("database %s: %w", s.path, err)
}

// violates reports whether err is the violation of a constraint of that kind.
func violates(err error, kind sqlite3.ErrNoExtended) bool {
	var failed sqlite3.Error
	return errors.As(err, &failed) && failed.ExtendedCode == kind
}
