// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

var _ sessions.Store = (*Store)(nil)

// View runs fn on one snapshot of the database; what fn tries to write fails.
// It does not wait for Update. ctx ends the waiting for a free connection and,
// between two statements, the transaction.
func (s *Store) View(ctx context.Context, fn func(sessions.Tx) error) error {
	err := s.transact(ctx, s.read, fn)
	s.noteDamage(err)
	return err
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
	err := s.transact(ctx, s.write, func(tx sessions.Tx) error {
		s.writing.start()
		return fn(tx)
	})
	s.writing.stop()
	s.noteTrouble(err)
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
	s.trouble.Store(&err)
	return err
}

// transact commits when fn returns nil, and rolls back when it fails or panics.
func (s *Store) transact(ctx context.Context, db *sql.DB, fn func(sessions.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	defer func() { _ = conn.Close() }() // back into the pool
	// The driver gets no context that ends: to be able to interrupt a statement it
	// would start a goroutine for each. They are short; ctx is checked in between.
	whole := context.WithoutCancel(ctx)
	sqlTx, err := conn.BeginTx(whole, nil)
	if err != nil {
		return s.coded(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // nothing to do after a commit
	if err := fn(&tx{ctx: ctx, whole: whole, tx: sqlTx, store: s}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return s.coded(err)
	}
	return nil
}

// unavailable says why there is no connection: the caller gave up, the Store is
// closed, or the file can no longer be opened.
func (s *Store) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return sessions.Errorf(sessions.Unavailable, "the database %s cannot be used: %w", s.path, err)
}

// tx is one transaction. For one goroutine, and until fn returns; calls that come
// later fail.
type tx struct {
	ctx   context.Context // the caller's
	whole context.Context // the statements': does not end
	tx    *sql.Tx
	store *Store
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	result, err := t.tx.ExecContext(t.whole, query, args...)
	if err != nil {
		return nil, t.store.coded(err)
	}
	return result, nil
}

// insert returns the id of the new row.
func (t *tx) insert(query string, args ...any) (int64, error) {
	result, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// change returns missing when no row was there to change.
func (t *tx) change(missing error, query string, args ...any) error {
	result, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return missing
	}
	return err
}

// scanner is a row, alone or one of many.
type scanner interface{ Scan(...any) error }

// one scans a single row, or returns missing.
func one[T any](t *tx, missing error, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := many(t, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = missing
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// many scans all rows; nil when there are none.
func many[T any](t *tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := t.tx.QueryContext(t.whole, query, args...)
	if err != nil {
		return nil, t.store.coded(err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, t.store.coded(err)
		}
		all = append(all, v)
	}
	return all, t.store.coded(errors.Join(rows.Err(), rows.Close()))
}

// marks returns n comma-separated parameters.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }
