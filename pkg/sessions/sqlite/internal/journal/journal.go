// SPDX-License-Identifier: Apache-2.0

// Package journal opens databases with the journal that their file system can have.
package journal

import (
	"errors"
	"net/url"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// Mode is how transactions become durable: a journal_mode of SQLite.
type Mode string

const (
	// WAL appends what changed to a write-ahead log, whose index all connections share
	// in memory that is mapped from a file.
	WAL Mode = "wal"
	// Rollback keeps what was there before in a file beside the database. It needs no
	// shared memory, and costs two waits for the disk in each writing transaction, during
	// the last of which nothing can be read.
	Rollback Mode = "truncate"
)

// Of returns the journal that a database in dir has: WAL, unless the file system of
// dir cannot map a file for writing that others see, as JFFS2, 9p and some of FUSE (mmap(2):
// ENODEV, EINVAL). A folder in which no file can be made says nothing of it, and has WAL.
func Of(dir string) Mode {
	file, err := os.CreateTemp(dir, ".mmap-*")
	if err != nil {
		return WAL
	}
	defer func() { _ = file.Close() }()
	if err := os.Remove(file.Name()); err != nil {
		return WAL
	}
	const page = 4096
	if err := file.Truncate(page); err != nil {
		return WAL
	}
	mapped, err := unix.Mmap(int(file.Fd()), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return Rollback
	}
	_ = unix.Munmap(mapped)
	return WAL
}

// Files are the ends of the names of what SQLite keeps beside a database.
func Files() []string { return []string{"-wal", "-shm", "-journal"} }

// Convert makes a database that was in WAL mode readable without shared memory: a
// connection that is alone keeps the index of the WAL in its own.
func (m Mode) Convert(path string) (err error) {
	if m == WAL {
		return nil
	}
	alone, err := conn.Open(DSN(path, url.Values{"_locking_mode": {"EXCLUSIVE"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.Close()) }()
	return alone.Query("PRAGMA journal_mode = TRUNCATE", func(*conn.Row) error { return nil })
}

// WriteDSN is that of connections that write. Pragmas go into the data source name, so that
// each connection of a pool has them; one sent through the pool would reach one connection.
func (m Mode) WriteDSN(path string) string {
	options := url.Values{"_txlock": {"immediate"}, "_cache_size": {"-512"}, "_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}}
	if m == Rollback {
		options.Set("_journal_mode", "TRUNCATE")
		options.Set("_synchronous", "FULL")
	}
	return DSN(path, options)
}

// ReadDSN is that of connections that refuse to write.
func ReadDSN(path string) string {
	// A page that is not in the small cache is in the kernel's, a copy away.
	return DSN(path, url.Values{"_query_only": {"on"}, "_cache_size": {"-256"}})
}

// common is what all connections have.
var common = url.Values{
	"mode":          {"rw"}, // the file was made before, with the right mode
	"_busy_timeout": {"5000"},
	"_foreign_keys": {"on"},
}

// DSN is that of mattn/go-sqlite3.
func DSN(path string, more url.Values) string {
	for key, value := range common {
		if !more.Has(key) {
			more[key] = value
		}
	}
	// Escaped, because a '?' or '#' of the path would end it.
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + more.Encode()
}
