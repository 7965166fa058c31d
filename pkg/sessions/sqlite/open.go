// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/checkpoint"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/trim"
)

const (
	// maxReaders bounds how many Snapshot calls read at the same time; more of them wait.
	maxReaders = 2
	// readerIdle is how long a connection of Snapshot stays open behind its last use.
	readerIdle = 30 * time.Second
)

// Store is a [sessions.Store] in one SQLite file. Safe for concurrent use, also by
// several processes. Close it when done.
type Store struct {
	path       string
	journal    journal.Mode
	log        *slog.Logger
	writer     *pool // of one connection, whose writing transactions begin IMMEDIATE
	readers    *pool // of connections that refuse to write
	wal        wal
	checkpoint *checkpoint.Files

	generation sessions.Generation   // of this Store
	health     atomic.Pointer[error] // of the last writing transaction; damage stays (setHealth)
	writing    stopwatch             // the one that has its turn
	trimmer    *trim.Trimmer
}

// Open opens the database at path, makes it when it does not exist (directory
// 0700, file 0600; modes of what exists are left alone), and brings its schema up
// to date. It fails with one clear line on a file that is no database of this
// agent, is damaged (ErrDamaged: all of it is read), or was made by a newer agent.
// A nil log discards.
//
// Where the file system of path has no shared memory, the database has a rollback journal.
func Open(path string, log *slog.Logger) (*Store, error) { return open(path, log, journal.Of) }

func open(path string, log *slog.Logger, journalOf func(dir string) journal.Mode) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if err := finishRescue(path); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	mode := journalOf(filepath.Dir(path))
	if mode == journal.Rollback {
		log.Warn("the file system has no shared writable mmap: the database has a rollback journal, a purchase waits longer for the disk", "database", path)
	}
	s := &Store{
		path: path, journal: mode, log: log, wal: newWAL(path + "-wal"), checkpoint: checkpoint.Beside(path),
		writer: newPool(mode.WriteDSN(path), 1, 0), readers: newPool(journal.ReadDSN(path), maxReaders, readerIdle),
	}
	s.trimmer = trim.New(path, log)
	s.writer.pragma = fmt.Sprintf("PRAGMA journal_size_limit = %d", trim.Usual)
	if err := s.prepare(); err != nil {
		_ = s.Close() // nothing was stored
		return nil, explain(path, err)
	}
	return s, nil
}

// prepare makes the file a sound database of this build's schema.
func (s *Store) prepare() error {
	if err := s.journal.Convert(s.path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", s.journal.WriteDSN(s.path))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is left to write
	db.SetMaxOpenConns(1)
	if err := s.sound(db); err != nil {
		return err
	}
	if err := schema.Migrate(context.Background(), db, schema.Embedded(), s.log); err != nil {
		return err
	}
	// What an agent that died had committed is believed from now on.
	s.wal.wrote()
	if err := s.Sync(); err != nil {
		return err
	}
	return s.beginGeneration(context.Background())
}

// beginGeneration distinguishes the numbers that are given from now on from those that a
// copy of the database, put back, gives again. On a disk that takes nothing the last one stays:
// there is nothing to number then.
func (s *Store) beginGeneration(ctx context.Context) error {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	g := sessions.Generation(binary.LittleEndian.Uint64(random[:]))
	failed := s.Update(ctx, func(t sessions.Tx) error { return t.(*tables.Tx).BeginGeneration(g) })
	if failed == nil {
		s.generation = g
		return nil
	}
	g, err := sessions.View(ctx, s, sessions.Tx.Generation)
	if err != nil || g == 0 {
		return failed
	}
	s.log.Warn("generation of the database not stored, the last one stays", "error", failed)
	s.generation = g
	return nil
}

// sound reads the whole database before anything is built on it.
func (s *Store) sound(db *sql.DB) error {
	if why, err := os.ReadFile(damageMarker(s.path)); err == nil {
		return fmt.Errorf("%w (%s)", ErrDamaged, oneLine(string(why)))
	}
	return quickCheck(context.Background(), db)
}

// createFile makes the directory and an empty file that only the owner may read.
// SQLite gives the WAL and its index the mode of the file.
func createFile(path string) error {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return disk.SyncParent(path)
}

// makeDir makes dir and syncs its parent: without that the first purchase could
// vanish in a power cut, together with the directory that holds it.
func makeDir(dir string) error {
	_, err := os.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return disk.SyncParent(dir)
}
