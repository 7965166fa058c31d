// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"context"
	"errors"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// statements runs those of one transaction.
type statements struct {
	ctx    context.Context
	conn   *conn.Conn
	writes bool
	over   bool
}

var (
	errOver     = errors.New("the transaction is over")
	errReadOnly = errors.New("a reading transaction cannot write")
)

// usable says why there can be no more statements.
func (s *statements) usable() error {
	if s.over {
		return errOver
	}
	return s.ctx.Err()
}

type result interface {
	LastInsertId() (int64, error)
	RowsAffected() (int64, error)
}

func (s *statements) exec(query string, args ...any) (result, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if !s.writes {
		return nil, errReadOnly
	}
	return s.conn.Exec(query, args...)
}

// insert returns the id of the new row.
func (s *statements) insert(query string, args ...any) (int64, error) {
	done, err := s.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

// change fails with missing when no row was there to change.
func (s *statements) change(missing func() error, query string, args ...any) error {
	done, err := s.exec(query, args...)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		return missing()
	}
	return err
}

// one scans a single row, or fails with missing: a function, since the message takes
// longer to make than most rows to read.
func one[T any](s *statements, missing func() error, scan func(*conn.Row) (T, error), query string, args ...any) (T, error) {
	var value T
	found := false
	err := s.each(query, func(row *conn.Row) (err error) {
		found = true
		value, err = scan(row)
		return err
	}, args...)
	if err == nil && !found {
		err = missing()
	}
	return value, err
}

// many scans all rows; nil when there are none.
func many[T any](s *statements, scan func(*conn.Row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := s.each(query, func(row *conn.Row) error {
		value, err := scan(row)
		if err == nil {
			all = append(all, value)
		}
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (s *statements) each(query string, visit func(*conn.Row) error, args ...any) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.conn.Query(query, visit, args...)
}

func scanInt(row *conn.Row) (n int64, err error) {
	err = row.Scan(&n)
	return n, err
}

// placeholders returns n comma-separated parameters.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// violates reports whether err is the violation of a constraint of that kind.
func violates(err error, kind sqlite3.ErrNoExtended) bool {
	var failed sqlite3.Error
	return errors.As(err, &failed) && failed.ExtendedCode == kind
}
