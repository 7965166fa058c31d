// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sessions.Store {
		t.Helper()
		return open(t, filepath.Join(t.TempDir(), "hotspot.db"))
	})
}

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	store, err := sqlite.Open(path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return store
}
