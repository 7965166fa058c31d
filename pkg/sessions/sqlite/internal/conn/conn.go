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
	"time"

	"github.com/mattn/go-sqlite3"
)

// maxStatements bounds the prepared statements of a connection: some 60 are in use.
const maxStatements = 80

// Conn is one connection. Not safe for concurrent use.
type Conn struct {
	driver     *sqlite3.SQLiteConn
	statements map[string]*sqlite3.SQLiteStmt
	args       []driver.NamedValue // reused by each statement
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
	statement, err := c.bind(query, args)
	if err != nil {
		return nil, err
	}
	// A context that can end would cost a goroutine for each statement.
	return statement.ExecContext(context.Background(), c.args)
}

// Query calls each for every row, until it fails. The Row is reused.
func (c *Conn) Query(query string, each func(*Row) error, args ...any) error {
	statement, err := c.bind(query, args)
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(context.Background(), c.args)
	if err != nil {
		return err
	}
	if n := len(rows.Columns()); cap(c.row.values) < n {
		c.row.values = make([]driver.Value, n)
	} else {
		c.row.values = c.row.values[:n]
	}
	for {
		if err = rows.Next(c.row.values); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			break
		}
		if err = each(&c.row); err != nil {
			break
		}
	}
	return errors.Join(err, rows.Close())
}

// bind returns the statement of a query, and makes c.args of what the columns hold: nil,
// int64, string, []byte, bool.
func (c *Conn) bind(query string, args []any) (*sqlite3.SQLiteStmt, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		switch arg.(type) {
		case nil, int64, string, []byte, bool:
			c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
		default:
			return nil, fmt.Errorf("argument %d of a statement is a %T", i+1, arg)
		}
	}
	if statement, ok := c.statements[query]; ok {
		return statement, nil
	}
	return c.prepare(query)
}

func (c *Conn) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	prepared, err := c.driver.Prepare(query)
	if err != nil {
		return nil, err
	}
	for other, statement := range c.statements { // any one makes room
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

// Row is one row of a query.
type Row struct{ values []driver.Value }

// Scan reads all columns in their order: an INTEGER into *int64, *uint64, *bool (false
// for 0), **int64 (nil for NULL) or *time.Time (Unix nanoseconds; zero for NULL), a TEXT
// into *string, a BLOB, which is the caller's, into *[]byte. It fails when one is of
// another kind; columns before that one are read.
func (r *Row) Scan(columns ...any) error {
	if len(columns) != len(r.values) {
		return fmt.Errorf("%d columns of a row of %d are read", len(columns), len(r.values))
	}
	for i, column := range columns {
		value := r.values[i]
		n, ok := value.(int64)
		switch to := column.(type) {
		case *int64:
			*to = n
		case *uint64:
			*to = uint64(n)
		case *bool:
			*to = n != 0
		case **int64:
			*to, ok = nil, ok || value == nil
			if value != nil {
				known := n
				*to = &known
			}
		case *time.Time:
			*to, ok = time.Time{}, ok || value == nil
			if value != nil {
				*to = time.Unix(0, n).UTC()
			}
		case *string:
			*to, ok = value.(string)
		case *[]byte:
			*to, ok = value.([]byte)
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("column %d is a %T, which its reader does not expect", i+1, value)
		}
	}
	return nil
}
