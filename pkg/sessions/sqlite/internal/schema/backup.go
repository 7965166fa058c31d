// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
)

// BackupOf names the copy that is kept of a database before its schema changes from
// a version.
func BackupOf(path string, version int) string { return fmt.Sprintf("%s-schema%d", path, version) }

// backup keeps a copy of the database for an agent that knows no later schema. It is
// whole, on the disk, and replaces an older copy.
func backup(ctx context.Context, db *sql.DB, version int, log *slog.Logger) error {
	path, err := fileOf(ctx, db)
	if err != nil {
		return err
	}
	name := BackupOf(path, version)
	if err := CopyInto(ctx, db, name+".new"); err != nil {
		return errors.Join(fmt.Errorf("copying it to %s before its schema changes: %w", name, err), os.RemoveAll(name+".new"))
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	if err := disk.SyncParent(name); err != nil {
		return err
	}
	log.Info("a copy of the database was kept for a return to the former agent", "copy", name)
	return nil
}

// CopyInto writes a whole copy of a database to a file, which only the owner may read, and
// returns when it is on the disk. Of a failure the file is left.
func CopyInto(ctx context.Context, db *sql.DB, name string) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600) // SQLite would let all read it
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", name)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// fileOf is the path of an open database.
func fileOf(ctx context.Context, db *sql.DB) (path string, err error) {
	err = db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path)
	return path, err
}

// newer says that a database is of a later schema than this build knows, and what to do.
func newer(ctx context.Context, db *sql.DB, version, known int) error {
	path, err := fileOf(ctx, db)
	if err != nil {
		return err
	}
	instead := "restore a backup from before its upgrade"
	for v := known; v > 0; v-- {
		if name := BackupOf(path, v); isFile(name) {
			instead = fmt.Sprintf("go back to the copy from before its upgrade, which lacks what was sold since: rm -f %s-wal %s-shm && cp -p %s %s",
				path, path, name, path)
			break
		}
	}
	return fmt.Errorf("it has schema version %d, made by a newer agent; this one knows up to version %d: run the newer agent, or %s",
		version, known, instead)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
