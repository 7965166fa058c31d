// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// What several versions left behind becomes the newest one's checkpoint, of sessions only. The
// wall time continues from the checkpoint before all of them.
func TestStoreRetired(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hotspot.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	at := func(seconds int) dataplane.Boottime {
		return dataplane.Boottime(seconds) * dataplane.Boottime(time.Second)
	}
	known := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	log := slog.New(slog.DiscardHandler)
	past := []dataplane.Retired{
		{Epoch: 3, Until: at(10), Spent: map[dataplane.Account]uint64{7: 100}},
		{Epoch: 4, Until: at(30), Spent: map[dataplane.Account]uint64{7: 200, 1 << 63: 50}},
	}
	for boot, want := range map[string]time.Time{"this": known.Add(25 * time.Second), "before": known.Add(30 * time.Second)} {
		if err := store.PutCheckpoint(sessions.Checkpoint{Boot: boot, At: at(5), Epoch: 2, Known: known}); err != nil {
			t.Fatal(err)
		}
		if err := storeRetired(store, past, "this", log); err != nil {
			t.Fatal(err)
		}
		checkpoint, err := store.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		expected := sessions.Checkpoint{Boot: "this", At: at(30), Epoch: 4, Spent: []sessions.Count{{Account: 7, Spent: 200}}, Known: want}
		if diff := cmp.Diff(expected, checkpoint); diff != "" {
			t.Errorf("checkpoint of boot %q before (-want +got):\n%s", boot, diff)
		}
	}
}
