// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
)

// Check reads the whole database at path without changing it, also while an agent
// uses it, and returns its schema version. It fails with one line that says what
// is wrong and what to do; with fs.ErrNotExist when there is no file.
func Check(ctx context.Context, path string) (version int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("database %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("database %s: not a regular file (%s)", path, info.Mode().Type())
	}
	db, err := sql.Open("sqlite3", dsn(path, url.Values{"mode": {"ro"}, "_query_only": {"on"}}))
	if err != nil {
		return 0, explain(path, err)
	}
	defer func() { _ = db.Close() }()
	if version, err = check(ctx, db, embedded()); err != nil {
		return version, explain(path, err)
	}
	if version == 0 {
		return 0, fmt.Errorf("database %s: %w: it is empty", path, fs.ErrNotExist)
	}
	return version, quickCheck(ctx, path, db)
}

// quickCheck verifies the structure of every page.
func quickCheck(ctx context.Context, path string, db *sql.DB) error {
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return explain(path, err)
	}
	if finding != "ok" {
		return fmt.Errorf("database %s: it is damaged (%s): stop the agent, move it away and restore a backup", path, finding)
	}
	return nil
}
