// SPDX-License-Identifier: Apache-2.0

// Package conn is one connection to an SQLite database, with its prepared statements.
// It is thinner than database/sql: no pool, no conversion by reflection, and each
// statement is parsed once.
package conn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/mattn/go-sqlite3"
)

// maxStatements bounds the prepared statements of a connection: some 60 are in use.
const maxStatements = 80

// Conn is one connection. Not safe for concurrent use.
type Conn struct {
	driver     *sqlite3.SQLiteConn
	statements map[string]*sqlite3.SQLiteStmt
	args       []driver.NamedValue // used again by each statement
	row        Row                 // likewise
}

// Open opens a connection; dsn is that of mattn/go-sqlite3.
func Open(dsn string) (*Conn, error) {
	opened, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &Conn{driver: opened.(*sqlite3.SQLiteConn), statements: make(map[string]*sqlite3.SQLiteStmt)}, nil
}

// Close ends the connection and its statements.
func (c *Conn) Close() error {
	var errs []error
	for query, statement := range c.statements {
		delete(c.statements, query)
		errs = append(errs, statement.Close())
	}
	return errors.Join(append(errs, c.driver.Close())...)
}

// Exec runs a statement that returns no rows.
func (c *Conn) Exec(query string, args ...any) (driver.Result, error) {
	statement, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	if err := c.bind(args); err != nil {
		return nil, err
	}
	// A context that can end would cost a goroutine for each statement.
	return statement.ExecContext(context.Background(), c.args)
}

// Query calls each for every row, until it fails. The Row is used again.
func (c *Conn) Query(query string, each func(*Row) error, args ...any) error {
	statement, err := c.prepare(query)
	if err != nil {
		return err
	}
	if err := c.bind(args); err != nil {
		return err
	}
	rows, err := statement.QueryContext(context.Background(), c.args)
	if err != nil {
		return err
	}
	return errors.Join(c.visit(rows, each), rows.Close())
}

func (c *Conn) visit(rows driver.Rows, each func(*Row) error) error {
	n := len(rows.Columns())
	if cap(c.row.values) < n {
		c.row.values = make([]driver.Value, n)
	}
	c.row.values = c.row.values[:n]
	for {
		c.row.next, c.row.err = 0, nil
		if err := rows.Next(c.row.values); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := each(&c.row); err != nil {
			return err
		}
	}
}

func (c *Conn) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	if statement, ok := c.statements[query]; ok {
		return statement, nil
	}
	prepared, err := c.driver.Prepare(query)
	if err != nil {
		return nil, err
	}
	for other, statement := range c.statements { // one that comes first makes room
		if len(c.statements) < maxStatements {
			break
		}
		delete(c.statements, other)
		_ = statement.Close() // it is not needed any more
	}
	statement := prepared.(*sqlite3.SQLiteStmt)
	c.statements[query] = statement
	return statement, nil
}

// bind makes arguments of what the columns hold: nil, int64, string, []byte, bool.
func (c *Conn) bind(args []any) error {
	c.args = c.args[:0]
	for i, arg := range args {
		switch arg.(type) {
		case nil, int64, string, []byte, bool:
			c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
		default:
			return fmt.Errorf("argument %d of a statement is a %T", i+1, arg)
		}
	}
	return nil
}

// Row is one row of a query. Its values are read in the order of the columns; the first
// one that is not of the kind that is read fails them all.
type Row struct {
	values []driver.Value
	next   int
	err    error
}

// Err is the first failure of reading a value.
func (r *Row) Err() error { return r.err }

// Int reads an INTEGER.
func (r *Row) Int() int64 { return read[int64](r) }

// Text reads a TEXT.
func (r *Row) Text() string { return read[string](r) }

// Blob reads a BLOB; it is the caller's.
func (r *Row) Blob() []byte { return read[[]byte](r) }

// Bool reads an INTEGER, false for 0.
func (r *Row) Bool() bool { return r.Int() != 0 }

// IntOrNull reads an INTEGER; known is false for NULL.
func (r *Row) IntOrNull() (value int64, known bool) {
	if r.err == nil && r.next < len(r.values) && r.values[r.next] == nil {
		r.next++
		return 0, false
	}
	value = r.Int()
	return value, r.err == nil
}

func read[T any](r *Row) T {
	var none T
	switch {
	case r.err != nil:
		return none
	case r.next >= len(r.values):
		r.err = fmt.Errorf("column %d of a row of %d is read", r.next+1, len(r.values))
		return none
	}
	value, ok := r.values[r.next].(T)
	r.next++
	if !ok {
		r.err = fmt.Errorf("column %d is a %T, want a %T", r.next, r.values[r.next-1], none)
	}
	return value
}
