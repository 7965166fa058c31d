// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

var _ sessions.Store = (*Store)(nil)

// View runs fn on one snapshot of the database; what fn tries to write fails.
// It does not wait for Update. ctx ends the waiting for a free connection and,
// between two statements, the transaction.
func (s *Store) View(ctx context.Context, fn func(sessions.Tx) error) error {
	err := s.transact(ctx, s.read, "BEGIN", fn)
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
	err := s.transact(ctx, s.write, "BEGIN IMMEDIATE", func(tx sessions.Tx) error {
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
	s.setTrouble(&err)
	return err
}

// transact commits when fn returns nil, and rolls back when it fails or panics. It says
// BEGIN and COMMIT itself: a sql.Tx starts a goroutine, and one more for each query.
func (s *Store) transact(ctx context.Context, db *sql.DB, begin string, fn func(sessions.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	defer func() { _ = conn.Close() }() // back into the pool
	// The driver gets no context that ends: to be able to interrupt a statement it
	// would start a goroutine for each. They are short; ctx is checked in between.
	whole := context.WithoutCancel(ctx)
	if _, err := conn.ExecContext(whole, begin); err != nil {
		return s.coded(err)
	}
	t := &tx{ctx: ctx, whole: whole, conn: conn, store: s, writes: db == s.write}
	defer t.end()
	if err := fn(t); err != nil {
		return err
	}
	if _, err := t.exec("COMMIT"); err != nil {
		return err
	}
	t.over = true
	return nil
}

// errOver is what a transaction's calls get that come too late.
var errOver = errors.New("the transaction is over")

// end rolls back what was not committed. A connection that cannot is not used again.
func (t *tx) end() {
	committed := t.over
	t.over = true
	if committed {
		return
	}
	if _, err := t.conn.ExecContext(t.whole, "ROLLBACK"); err != nil {
		_ = t.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
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
	conn  *sql.Conn
	store *Store
	over  bool

	writes bool
	keys   map[sessions.SessionID]sessionKeys // as they are, of those that it read or wrote
}

// usable says why there can be no more statements.
func (t *tx) usable() error {
	if t.over {
		return errOver
	}
	return t.ctx.Err()
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	result, err := t.conn.ExecContext(t.whole, query, args...)
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

// change fails with missing when no row was there to change.
func (t *tx) change(missing func() error, query string, args ...any) error {
	result, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return missing()
	}
	return err
}

// scanner is a row, alone or one of many.
type scanner interface{ Scan(...any) error }

// one scans a single row, or fails with missing: a function, since the message takes
// longer to make than most rows to read.
func one[T any](t *tx, missing func() error, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := many(t, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = missing()
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// many scans all rows; nil when there are none.
func many[T any](t *tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	rows, err := t.conn.QueryContext(t.whole, query, args...)
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

// placeholders returns n comma-separated parameters.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }
