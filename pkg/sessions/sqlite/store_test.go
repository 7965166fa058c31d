// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// neverEnds is for what runs outside a test.
var neverEnds = context.Background()

func addDevice(tb testing.TB, store *sqlite.Store, n byte) sessions.Device {
	tb.Helper()
	d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, 0, 0, n}, Hostname: "phone", Created: time.Unix(1_700_000_000, 0)}
	if err := store.Update(tb.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&d) }); err != nil {
		tb.Fatal(err)
	}
	return d
}

func devices(tb testing.TB, store *sqlite.Store) (all []sessions.Device) {
	tb.Helper()
	err := store.View(tb.Context(), func(tx sessions.Tx) (err error) {
		all, err = tx.Devices(sessions.DeviceFilter{})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestEventsAreTrimmed(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "hotspot.db"))
	const count, kept = 10_400, 10_000
	err := store.Update(t.Context(), func(tx sessions.Tx) error {
		for range count {
			if err := tx.AppendEvent(&sessions.Event{Type: sessions.SessionUpdated}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = store.View(t.Context(), func(tx sessions.Tx) error {
		events, err := tx.Events(0, 0)
		first, last := events[0].Seq, events[len(events)-1].Seq
		if last != count || first > last-kept+1 || first < last-kept-200 || int64(len(events)) != last-first+1 {
			t.Errorf("%d events, %d to %d, are kept: want the last %d or a few more, without gaps", len(events), first, last, kept)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTwoProcesses opens one file twice, as a second process does: writers wait for
// each other, and each sees what the other stored.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	stores := []*sqlite.Store{open(t, path), open(t, path)}
	var group sync.WaitGroup
	const each = 20
	for i, store := range stores {
		group.Go(func() {
			for n := range each {
				addDevice(t, store, byte(1+i*each+n))
			}
		})
	}
	group.Wait()
	for _, store := range stores {
		if n := len(devices(t, store)); n != 2*each {
			t.Errorf("%d devices are stored, want %d", n, 2*each)
		}
	}
}

func TestClosed(t *testing.T) {
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hotspot.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	err = store.View(t.Context(), func(sessions.Tx) error { return nil })
	if sessions.CodeOf(err) != sessions.Unavailable {
		t.Errorf("View of a closed store: %v", err)
	}
}

// TestTxAfterItsEnd: a transaction that leaked out of its function is dead.
func TestTxAfterItsEnd(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "hotspot.db"))
	var leaked sessions.Tx
	if err := store.Update(t.Context(), func(tx sessions.Tx) error { leaked = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := leaked.PutProvider(sessions.ProviderRecord{Name: "late"}); err == nil || !strings.Contains(err.Error(), "transaction") {
		t.Errorf("a write after the end of its transaction: %v", err)
	}
}
