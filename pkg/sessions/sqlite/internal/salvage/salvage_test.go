// SPDX-License-Identifier: Apache-2.0

package salvage

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// A disk that fails ends the rescue: what it could not write is not lost.
func TestOnlyRowsAreLeftOut(t *testing.T) {
	w := &damaged{log: slog.New(slog.DiscardHandler)}
	full := sessions.Errorf(sessions.Unavailable, "no space: %w", sqlite3.Error{Code: sqlite3.ErrFull})
	if kept, err := w.keep(full, "a row"); kept || !errors.Is(err, full) || w.unread != 0 {
		t.Errorf("a full disk: %t, %v, %d unread", kept, err, w.unread)
	}
}

// A page that was written to the wrong place shows keys that came before, and a damaged
// counter a last key that was never given: the reading ends, and soon.
func TestReadingEnds(t *testing.T) {
	c, err := conn.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := &damaged{ctx: ctx, conn: c}
	scan := func(row *conn.Row) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	}
	same := func(n int64) int64 { return n }
	if got := readable(w, 1, 10, "SELECT 3 WHERE ? < 1000000", scan, same); len(got) != 1 || w.unread != 7 {
		t.Errorf("read %d rows, %d unread", len(got), w.unread)
	}
	readable(w, 1, maxKey, "SELECT 'damage' WHERE ? > 0", scan, same)
	if ctx.Err() != nil {
		t.Error("a large last key: no end")
	}
	if got := w.number("SELECT 1 << 62"); got != 0 {
		t.Errorf("believed: %d", got)
	}
}
