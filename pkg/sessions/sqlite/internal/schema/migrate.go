// SPDX-License-Identifier: Apache-2.0

// Package schema brings a database to the schema of this build, and refuses one that it does
// not know.
package schema

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// applicationID is what the first migration writes into the file's header.
const applicationID = 0x48534147

//go:embed migrations/*.sql
var files embed.FS

// Migration takes the schema from the version before its own to its own.
type Migration struct {
	Version int
	Name    string
	SQL     string
}

func (m Migration) checksum() string {
	sum := sha256.Sum256([]byte(m.SQL))
	return hex.EncodeToString(sum[:])
}

// Embedded returns the migrations of this build in order. A file that is misnamed
// is a mistake in the build, which the tests find: hence the panics.
func Embedded() []Migration {
	entries, err := files.ReadDir("migrations")
	if err != nil {
		panic(err)
	}
	all := make([]Migration, 0, len(entries))
	for _, e := range entries { // sorted by name
		m := Migration{Name: e.Name()}
		if _, err := fmt.Sscanf(m.Name, "%04d_", &m.Version); err != nil || m.Version != len(all)+1 {
			panic(fmt.Sprintf("migrations/%s: want the number %04d", m.Name, len(all)+1))
		}
		text, err := files.ReadFile("migrations/" + m.Name)
		if err != nil {
			panic(err)
		}
		m.SQL = string(text)
		all = append(all, m)
	}
	return all
}

// Migrate brings the schema to the last of all, in one transaction: should a migration
// fail, the database is as it was, and the former agent can use it. The former
// agent also finds a copy beside it, made before.
func Migrate(ctx context.Context, db *sql.DB, all []Migration, log *slog.Logger) error {
	from, err := Check(ctx, db, all)
	if err != nil || from == len(all) {
		return err
	}
	if from > 0 {
		if err := backup(ctx, db, from, log); err != nil {
			return err
		}
	}
	if err := Apply(ctx, db, all[from:]); err != nil {
		return err
	}
	log.Info("database schema migrated", "from", from, "to", len(all))
	return nil
}

// Check returns the version of a database that this build may use.
func Check(ctx context.Context, db *sql.DB, all []Migration) (int, error) {
	version, err := Pragma(ctx, db, "user_version")
	if err != nil {
		return 0, err
	}
	app, err := Pragma(ctx, db, "application_id")
	if err != nil {
		return 0, err
	}
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return 0, err
	}
	switch {
	case tables == 0 && version == 0:
		return 0, nil
	case app != applicationID:
		return 0, errors.New("it is another program's database: check state_dir")
	case version > len(all):
		return 0, newer(ctx, db, version, len(all))
	}
	return version, checkApplied(ctx, db, all[:version])
}

// checkApplied compares what was applied with what this build would have applied.
func checkApplied(ctx context.Context, db *sql.DB, applied []Migration) error {
	for _, m := range applied {
		var stored string
		err := db.QueryRowContext(ctx, "SELECT sha256 FROM schema_migrations WHERE version = ?", m.Version).Scan(&stored)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("its migration %d is not on record: the schema is not known", m.Version)
		}
		if err != nil {
			return err
		}
		if stored != m.checksum() {
			return fmt.Errorf("migration %s was edited after it had been applied here (then %.12s, now %.12s): the schema is not known", m.Name, stored, m.checksum())
		}
	}
	return nil
}

// Apply runs migrations and records them, in one transaction.
func Apply(ctx context.Context, db *sql.DB, migrations []Migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to do after a commit
	for _, m := range migrations {
		if err := applyOne(ctx, tx, m); err != nil {
			return fmt.Errorf("migration %s: %w", m.Name, err)
		}
	}
	return tx.Commit()
}

// applyOne leaves out what another process was faster with: the version is read again
// under the write lock.
func applyOne(ctx context.Context, tx *sql.Tx, m Migration) error {
	if version, err := Pragma(ctx, tx, "user_version"); err != nil || version >= m.Version {
		return err
	}
	const record = `
		CREATE TABLE IF NOT EXISTS schema_migrations (
			version INTEGER PRIMARY KEY,
			name    TEXT NOT NULL,
			sha256  TEXT NOT NULL
		) STRICT;
		INSERT INTO schema_migrations (version, name, sha256) VALUES (?, ?, ?)`
	if _, err := tx.ExecContext(ctx, m.SQL); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, record, m.Version, m.Name, m.checksum()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", m.Version))
	return err
}

// Pragma reads a numeric PRAGMA. It works on a pool and in a transaction.
func Pragma(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, name string) (value int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}
