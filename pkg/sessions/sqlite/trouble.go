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

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// tooSlow is what no write of a disk in health takes.
const tooSlow = 2 * time.Second

// stopwatch tells how long something takes that is under way.
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

// Trouble says why the database could not be written lately, with what to do; nil when
// it can be. ErrDamaged is in its chain when the file is damaged: who opens it anew is
// told the same, until it is rescued.
func (s *Store) Trouble(ctx context.Context) error {
	if waits := max(s.writing.since(), s.wal.syncing.since()); waits > tooSlow {
		return sessions.Errorf(sessions.Unavailable,
			"the disk of the database %s is slow: a write waits for it since %s, and purchases behind it; look for its errors (dmesg), replace it", s.path, waits.Round(time.Second))
	}
	last := s.trouble.Load()
	if last == nil {
		return nil
	}
	if errors.Is(*last, ErrDamaged) {
		return *last
	}
	// Is it still so? A write that changes nothing tells.
	if err := s.Update(ctx, func(t sessions.Tx) error { return t.(*tx).touch() }); err != nil {
		return err
	}
	return nil
}

// touch writes a page as it is.
func (t *tx) touch() error {
	version, err := pragma(t.whole, t.conn, "user_version")
	if err != nil {
		return t.store.coded(err)
	}
	_, err = t.exec(fmt.Sprintf("PRAGMA user_version = %d", version))
	return err
}

// noteTrouble remembers how a writing transaction ended. One that failed for another
// reason than the disk says nothing of it.
func (s *Store) noteTrouble(err error) {
	var failed sqlite3.Error
	switch {
	case err == nil:
		s.setTrouble(nil)
	case s.noteDamage(err):
	case errors.As(err, &failed) && troubleOf(failed) != "":
		s.setTrouble(&err)
	}
}

// setTrouble replaces what is known, but not that the file is damaged: pages that can
// be written say nothing of those that cannot be read.
func (s *Store) setTrouble(now *error) {
	for {
		last := s.trouble.Load()
		if last == now || last != nil && errors.Is(*last, ErrDamaged) || s.trouble.CompareAndSwap(last, now) {
			return
		}
	}
}

// noteDamage reports that a transaction met damage. The next Open takes the file for
// damaged then, also where its check would find nothing.
func (s *Store) noteDamage(err error) bool {
	var failed sqlite3.Error
	if !errors.As(err, &failed) || failed.Code != sqlite3.ErrCorrupt && failed.Code != sqlite3.ErrNotADB {
		return false
	}
	damaged := fmt.Errorf("%w: %w", ErrDamaged, err)
	s.trouble.Store(&damaged)
	if err := os.WriteFile(suspicion(s.path), []byte(failed.Error()+"\n"), 0o600); err != nil {
		s.log.Error("that the database is damaged cannot be noted beside it", "error", err)
	}
	return true
}

// suspicion is a file that says what made the database look damaged.
func suspicion(path string) string { return path + "-suspect" }

// sound reads the whole database before anything is built on it.
func (s *Store) sound() error {
	if why, err := os.ReadFile(suspicion(s.path)); err == nil {
		return fmt.Errorf("%w (%s)", ErrDamaged, oneLine(string(why)))
	}
	return quickCheck(context.Background(), s.write)
}
