// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func marksAt(at dataplane.Boottime, n int) sessions.Marks {
	k := sessions.Marks{Boot: "boot", At: at, Epoch: 77, Known: noon.Add(time.Duration(at))}
	for i := range n {
		k.Spent = append(k.Spent, sessions.Mark{Session: sessions.SessionID(i + 1), Spent: uint64(at) * 1000})
	}
	return k
}

func wantMarks(t *testing.T, path string, want ...sessions.Marks) {
	t.Helper()
	store := open(t, path)
	got, err := store.Marks()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if cmp.Equal(w, got) {
			return
		}
	}
	t.Fatalf("marks %v of %d sessions, want one of %v", got.At, len(got.Spent), want)
}

// TestTornMarks cuts the newest marks at each block, and spoils each of their bytes in
// turn, as a power cut may: the marks before are found then.
func TestTornMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	store := open(t, path)
	before, last := marksAt(1, 3), marksAt(2, 1500)
	for _, k := range []sessions.Marks{marksAt(0, 1), before, last} {
		if err := store.PutMarks(k); err != nil {
			t.Fatal(err)
		}
	}
	wantMarks(t, path, last)
	newest := path + "-marks1" // the third
	whole, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(whole); cut += 4096 {
		write(t, newest, whole[:cut])
		wantMarks(t, path, before)
	}
	for at := 0; at < 5800; at += 37 { // behind it is nothing
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 0x40
		write(t, newest, spoilt)
		wantMarks(t, path, before)
	}
	write(t, newest, whole)
	wantMarks(t, path, last)
}

// TestMarksAfterRestart: the next agent's first marks are the newest, and leave the
// last ones of the agent before alone.
func TestMarksAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	for at := range dataplane.Boottime(5) {
		store, err := sqlite.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.PutMarks(marksAt(at+1, 10)); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantMarks(t, path, marksAt(at+1, 10))
	}
}
