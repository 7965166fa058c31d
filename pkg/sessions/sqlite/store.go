// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
)

var _ sessions.Store = (*Store)(nil)

// View runs fn on what is committed; what fn tries to write fails. It uses the writing
// connection while that is free, whose page cache is never stale, so fn is to be short
// and must not call Update or Commit. ctx ends the waiting for a connection and, between
// two statements, the transaction.
func (s *Store) View(ctx context.Context, fn func(sessions.Tx) error) error {
	c, err := s.writer.tryAcquire()
	if err != nil {
		return s.unavailable(ctx, err)
	}
	if c == nil {
		return s.Snapshot(ctx, fn)
	}
	return s.transact(ctx, s.writer, c, readOnly, fn)
}

// Snapshot is View on a connection of its own: for fn that reads many rows or calls
// Update. It does not wait for Update, nor Update for it; with a rollback journal an
// Update waits for it, and fn must not call one.
func (s *Store) Snapshot(ctx context.Context, fn func(sessions.Tx) error) error {
	c, err := s.readers.acquire(ctx)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	return s.transact(ctx, s.readers, c, readOnly, fn)
}

// Update runs fn in a transaction and returns nil when that is on disk. Updates
// run one after the other; one must not be called from within another. ctx ends
// the waiting for the turn and, up to the commit, the transaction.
func (s *Store) Update(ctx context.Context, fn func(sessions.Tx) error) error {
	if err := s.Commit(ctx, fn); err != nil {
		return err
	}
	return s.Sync()
}

// Commit is Update without the wait for the disk.
func (s *Store) Commit(ctx context.Context, fn func(sessions.Tx) error) error {
	c, err := s.writer.acquire(ctx)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	s.writing.start()
	err = s.transact(ctx, s.writer, c, readWrite, fn)
	s.writing.stop()
	s.noteWrite(err)
	if err != nil {
		return err
	}
	s.wal.wrote()
	return nil
}

// Sync returns nil when all that was committed is on disk.
func (s *Store) Sync() error {
	err := s.wal.sync()
	if err == nil {
		return nil
	}
	// SQLite's file and what the disk has may differ from now on, whatever comes after.
	err = sessions.Errorf(sessions.Unavailable, "the database %s cannot be written to the disk; look for its errors (dmesg), mend it, restart the agent: %w", s.path, err)
	s.setHealth(&err)
	return err
}

// Kinds of transaction.
const (
	readOnly  = false
	readWrite = true
)

// transact commits when fn returns nil, and rolls back when it fails or panics. It gives
// the connection back.
func (s *Store) transact(ctx context.Context, from *pool, c *conn.Conn, writes bool, fn func(sessions.Tx) error) error {
	t, err := tables.Begin(ctx, c, writes, s.generation)
	if err != nil {
		from.release(c, true)
		return s.failed(err)
	}
	defer func() { from.release(c, t.End() == nil) }()
	if err = fn(t); err == nil {
		err = t.Commit()
	}
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// failed handles the error of a transaction.
func (s *Store) failed(err error) error {
	err = s.withCode(err)
	s.noteDamage(err)
	return err
}

// unavailable says why there is no connection: the caller gave up, the Store is
// closed, or the file can no longer be opened.
func (s *Store) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return sessions.Errorf(sessions.Unavailable, "the database %s cannot be used: %w", s.path, err)
}

// PutCheckpoint replaces the checkpoint.
func (s *Store) PutCheckpoint(k sessions.Checkpoint) error {
	if err := s.checkpoint.Put(k, s.generation); err != nil {
		return sessions.Errorf(sessions.Unavailable, "the checkpoint of %s cannot be written: %w", s.path, err)
	}
	return nil
}

// Checkpoint returns the last checkpoint. Of one that was written beside another history of
// the database only the wall time is believed.
func (s *Store) Checkpoint() (sessions.Checkpoint, error) {
	k, g, err := s.checkpoint.Last()
	if err != nil {
		return k, sessions.Errorf(sessions.Unavailable, "the checkpoint of %s cannot be read: %w", s.path, err)
	}
	if g == 0 {
		return k, nil
	}
	_, err = sessions.View(context.Background(), s, func(t sessions.Tx) (int64, error) { return t.LastEventOf(g) })
	if sessions.CodeOf(err) == sessions.NotFound {
		return sessions.Checkpoint{Known: k.Known}, nil
	}
	return k, err
}

// Close waits for transactions that run, moves the WAL into the file and closes
// it. Later calls of the Store fail with [sessions.Unavailable].
func (s *Store) Close() error {
	return errors.Join(s.readers.close(), s.writer.close())
}
