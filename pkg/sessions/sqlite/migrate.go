// SPDX-License-Identifier: Apache-2.0

package sqlite

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

// A migration takes the schema from the version before its own to its own.
type migration struct {
	version int
	name    string
	sql     string
}

func (m migration) checksum() string {
	sum := sha256.Sum256([]byte(m.sql))
	return hex.EncodeToString(sum[:])
}

// embedded returns the migrations of this build in order. A file that is misnamed
// is a mistake in the build, which the tests find: hence the panics.
func embedded() []migration {
	entries, err := files.ReadDir("migrations")
	if err != nil {
		panic(err)
	}
	all := make([]migration, 0, len(entries))
	for _, e := range entries { // sorted by name
		m := migration{name: e.Name()}
		if _, err := fmt.Sscanf(m.name, "%04d_", &m.version); err != nil || m.version != len(all)+1 {
			panic(fmt.Sprintf("migrations/%s: want the number %04d", m.name, len(all)+1))
		}
		text, err := files.ReadFile("migrations/" + m.name)
		if err != nil {
			panic(err)
		}
		m.sql = string(text)
		all = append(all, m)
	}
	return all
}

// migrate brings the schema to the last of all, in one transaction: should a migration
// fail, the database is as it was, and the former agent goes on with it. The former
// agent also finds a copy beside it, made before.
func migrate(ctx context.Context, db *sql.DB, all []migration, log *slog.Logger) error {
	from, err := check(ctx, db, all)
	if err != nil || from == len(all) {
		return err
	}
	if from > 0 {
		if err := backup(ctx, db, from, log); err != nil {
			return err
		}
	}
	if err := apply(ctx, db, all[from:]); err != nil {
		return err
	}
	log.Info("database schema migrated", "from", from, "to", len(all))
	return nil
}

// check returns the version of a database that this build may go on with.
func check(ctx context.Context, db *sql.DB, all []migration) (int, error) {
	version, err := pragma(ctx, db, "user_version")
	if err != nil {
		return 0, err
	}
	app, err := pragma(ctx, db, "application_id")
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
func checkApplied(ctx context.Context, db *sql.DB, applied []migration) error {
	for _, m := range applied {
		var stored string
		err := db.QueryRowContext(ctx, "SELECT sha256 FROM schema_migrations WHERE version = ?", m.version).Scan(&stored)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("its migration %d is not on record: the schema is not known", m.version)
		}
		if err != nil {
			return err
		}
		if stored != m.checksum() {
			return fmt.Errorf("migration %s was edited after it had been applied here (then %.12s, now %.12s): the schema is not known", m.name, stored, m.checksum())
		}
	}
	return nil
}

// apply runs migrations and records them, in one transaction.
func apply(ctx context.Context, db *sql.DB, migrations []migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to do after a commit
	for _, m := range migrations {
		if err := applyOne(ctx, tx, m); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return tx.Commit()
}

// applyOne leaves out what another process was faster with: the version is read again
// under the write lock.
func applyOne(ctx context.Context, tx *sql.Tx, m migration) error {
	if version, err := pragma(ctx, tx, "user_version"); err != nil || version >= m.version {
		return err
	}
	const record = `
		CREATE TABLE IF NOT EXISTS schema_migrations (
			version INTEGER PRIMARY KEY,
			name    TEXT NOT NULL,
			sha256  TEXT NOT NULL
		) STRICT;
		INSERT INTO schema_migrations (version, name, sha256) VALUES (?, ?, ?)`
	if _, err := tx.ExecContext(ctx, m.sql); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, record, m.version, m.name, m.checksum()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", m.version))
	return err
}

// pragma reads a numeric PRAGMA. It works on a pool and in a transaction.
func pragma(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, name string) (value int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}
