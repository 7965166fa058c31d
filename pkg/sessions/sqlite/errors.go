// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// ErrDamaged is a file whose content cannot be trusted any more. [Rescue] sets it
// aside and keeps what can still be read.
var ErrDamaged = errors.New("it is damaged")

// explain turns an error of Open into one line that says what to do.
func explain(path string, err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("database %s: %w", path, err)
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

// coded gives an error of a statement the code that a caller can act on, and says
// what to do about the disk. Errors that already carry a code, and those nobody can
// act on, stay as they are.
func (s *Store) coded(err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) || sessions.CodeOf(err) == sessions.Unavailable {
		return err
	}
	if trouble := troubleOf(failed); trouble != "" {
		return sessions.Errorf(sessions.Unavailable, "the database %s %s: %w", s.path, trouble, err)
	}
	return fmt.Errorf("database %s: %w", s.path, err)
}

// troubleOf says what is wrong with the disk or the file and what to do; "" for an
// error of another kind.
func troubleOf(failed sqlite3.Error) string {
	switch failed.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return "is locked by another process, nothing was stored; end that process, or wait for it"
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return "is damaged, nothing was stored; restart the agent: it sets the file aside and keeps what can be read"
	case sqlite3.ErrFull:
		return noSpace
	case sqlite3.ErrReadonly:
		return readOnly
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		return troubleOfDisk(failed.SystemErrno)
	}
	return ""
}

const (
	noSpace  = "has no space left on its disk, nothing was stored; make room there"
	readOnly = "is on a disk that has become read-only, nothing was stored; look for its errors (dmesg), check and mount it for writing"
)

func troubleOfDisk(errno unix.Errno) string {
	switch errno {
	case unix.ENOSPC, unix.EDQUOT:
		return noSpace
	case unix.EROFS:
		return readOnly
	}
	return "is on a disk that fails, nothing was stored; look for its errors (dmesg), replace it, restart the agent"
}

// violates reports whether err is the violation of a constraint of that kind.
func violates(err error, kind sqlite3.ErrNoExtended) bool {
	var failed sqlite3.Error
	return errors.As(err, &failed) && failed.ExtendedCode == kind
}
