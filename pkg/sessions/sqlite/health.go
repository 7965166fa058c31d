// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
)

// ErrDamaged is a file whose content cannot be trusted any more. [Rescue] sets it
// aside and keeps what can still be read.
var ErrDamaged = errors.New("it is damaged")

// tooSlow is what no write of a healthy disk takes.
const tooSlow = 2 * time.Second

// stopwatch measures how long something takes that is under way.
type stopwatch struct{ began atomic.Int64 } // Unix ns; 0: nothing is under way

func (w *stopwatch) start() { w.began.Store(time.Now().UnixNano()) }
func (w *stopwatch) stop()  { w.began.Store(0) }

func (w *stopwatch) since() time.Duration {
	began := w.began.Load()
	if began == 0 {
		return 0
	}
	return time.Since(time.Unix(0, began))
}

// Health says why the database could not be written lately, with what to do; nil when
// it can be. ErrDamaged is in its chain when the file is damaged: [Open] fails with the
// same then, until it is rescued.
func (s *Store) Health(ctx context.Context) error {
	if waits := max(s.writing.since(), s.wal.syncing.since()); waits > tooSlow {
		return sessions.Errorf(sessions.Unavailable,
			"the disk of the database %s is slow: a write waits for it since %s, and purchases behind it; look for its errors (dmesg), replace it", s.path, waits.Round(time.Second))
	}
	last := s.health.Load()
	if last == nil {
		return nil
	}
	if errors.Is(*last, ErrDamaged) {
		return *last
	}
	// Is it still so? A write that changes nothing shows it.
	return s.Update(ctx, func(t sessions.Tx) error { return rewritePage(t.(*tables.Tx)) })
}

// TrimWAL cuts a write-ahead log that a foreign reader had let grow. It is to be called now and
// then, and costs a stat(2).
func (s *Store) TrimWAL() error { return s.trimmer.Trim() }

// HeldWAL names the processes that keep a large write-ahead log from being cut, and since
// when; "" while none does for long.
func (s *Store) HeldWAL() string { return s.trimmer.Held() }

// rewritePage writes a page as it is.
func rewritePage(t *tables.Tx) error {
	version, err := t.Pragma("user_version")
	if err != nil {
		return err
	}
	return t.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
}

// noteWrite remembers how a writing transaction ended. One that failed for another
// reason than the disk says nothing of it.
func (s *Store) noteWrite(err error) {
	var failed sqlite3.Error
	switch {
	case err == nil:
		s.setHealth(nil)
	case errors.As(err, &failed) && problemOf(failed) != "":
		s.setHealth(&err)
	}
}

// setHealth replaces what is known, but not that the file is damaged: pages that can
// be written say nothing of those that cannot be read.
func (s *Store) setHealth(now *error) {
	for {
		last := s.health.Load()
		if last == now || last != nil && errors.Is(*last, ErrDamaged) || s.health.CompareAndSwap(last, now) {
			return
		}
	}
}

// noteDamage remembers that a transaction met damage. The next Open takes the file for
// damaged then, also where its check would find nothing.
func (s *Store) noteDamage(err error) {
	var failed sqlite3.Error
	if !errors.As(err, &failed) || failed.Code != sqlite3.ErrCorrupt && failed.Code != sqlite3.ErrNotADB {
		return
	}
	damaged := fmt.Errorf("%w: %w", ErrDamaged, err)
	s.health.Store(&damaged)
	if err := os.WriteFile(damageMarker(s.path), []byte(failed.Error()+"\n"), 0o600); err != nil {
		s.log.Error("marker of a damaged database not written", "error", err)
	}
}

// damageMarker is a file that says what made the database look damaged.
func damageMarker(path string) string { return path + "-suspect" }

// withCode gives an error of a statement the code that a caller can act on, and says
// what to do about the disk. Errors that already carry a code, and those on which no
// caller can act, stay as they are.
func (s *Store) withCode(err error) error {
	var failed sqlite3.Error
	if !errors.As(err, &failed) || sessions.CodeOf(err) == sessions.Unavailable {
		return err
	}
	if problem := problemOf(failed); problem != "" {
		return sessions.Errorf(sessions.Unavailable, "the database %s %s: %w", s.path, problem, err)
	}
	return fmt.Errorf("database %s: %w", s.path, err)
}

// problemOf says what is wrong with the disk or the file and what to do; "" for an
// error of another kind.
func problemOf(failed sqlite3.Error) string {
	switch failed.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return "is locked by another process, nothing was stored; end that process, or wait for it"
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return "is damaged, nothing was stored; restart the agent: it sets the file aside and keeps what can be read"
	case sqlite3.ErrFull:
		return noSpace
	case sqlite3.ErrReadonly:
		return readOnlyDisk
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		return problemOfDisk(failed.SystemErrno)
	}
	return ""
}

const (
	noSpace      = "has no space left on its disk, nothing was stored; make room there"
	readOnlyDisk = "is on a disk that has become read-only, nothing was stored; look for its errors (dmesg), check and mount it for writing"
)

func problemOfDisk(errno unix.Errno) string {
	switch errno {
	case unix.ENOSPC, unix.EDQUOT:
		return noSpace
	case unix.EROFS:
		return readOnlyDisk
	}
	return "is on a disk that fails, nothing was stored; look for its errors (dmesg), replace it, restart the agent"
}
