// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
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
	if err := quickCheck(ctx, db); err != nil {
		return version, explain(path, err)
	}
	return version, nil
}

// quickCheck verifies the structure of every page.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return fmt.Errorf("%w (%s): restart the agent, which sets it aside and keeps what can be read", ErrDamaged, oneLine(finding))
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
