// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/schema"
)

// TestPlans holds that the questions asked every few seconds read no more than they
// need, however many sessions were ever sold.
func TestPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plans.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := schema.Migrate(t.Context(), db, schema.Embedded(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	c, err := conn.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for query, index := range map[string]string{
		selectSessions + " INDEXED BY sessions_by_device WHERE device_id IN (?) ORDER BY id":                                                 "sessions_by_device",
		selectSessions + " INDEXED BY sessions_by_device WHERE device_id IN (?) AND (+state = 'paused' OR +state = 'available') ORDER BY id": "sessions_by_device",
		selectSessions + " WHERE state IN ('running') ORDER BY id":                                                                           "sessions_by_state",
		selectSessions + " WHERE unsaved = 1 AND id > 5 ORDER BY id":                                                                         "sessions_unsaved",
		selectPastExpiry: "sessions_by_expiry",
		selectEnded:      "sessions_by_end",
		selectSold:       "sessions_by_sale",
		// A page of a long list, in whatever states: nothing is sorted.
		selectSessions + " WHERE state IN ('available') AND id > 5 UNION ALL " + selectSessions + " WHERE state IN ('paused') AND id > 5 ORDER BY id LIMIT 10": "sessions_by_state",
		selectDevices + " WHERE devices.id > 5 ORDER BY id LIMIT 10":                                                                                           "PRIMARY KEY",
		selectDevices + " WHERE id = 1": "addresses_by_device",
		selectDeviceByIP:                "PRIMARY KEY",
		"SELECT seq FROM events WHERE seq > 5 ORDER BY seq LIMIT 10": "PRIMARY KEY",
		"DELETE FROM events WHERE seq <= 5":                          "PRIMARY KEY",
	} {
		plan := explainPlan(t, c, query)
		if !strings.Contains(plan, index) || strings.Contains(strings.NewReplacer("SCAN (subquery", "", "SCAN CONSTANT ROW", "").Replace(plan), "SCAN") || strings.Contains(plan, "TEMP B-TREE FOR ORDER BY; SEARCH sessions") {
			t.Errorf("%s\nis answered by: %s\nwant: %s", query, plan, index)
		}
	}
}

func explainPlan(t *testing.T, c *conn.Conn, query string) string {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	var plan []string
	err := c.Query("EXPLAIN QUERY PLAN "+query, func(row *conn.Row) error {
		var id, parent, unused int64
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		plan = append(plan, detail)
		return err
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "; ")
}
