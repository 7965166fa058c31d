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

func checkpointAt(at dataplane.Boottime, n int) sessions.Checkpoint {
	k := sessions.Checkpoint{Boot: "boot", At: at, Epoch: 77, Known: noon.Add(time.Duration(at))}
	for i := range n {
		k.Spent = append(k.Spent, sessions.Count{Account: dataplane.Account(i + 1), Spent: uint64(at) * 1000})
	}
	return k
}

func wantCheckpoint(t *testing.T, path string, want ...sessions.Checkpoint) {
	t.Helper()
	store := open(t, path)
	got, err := store.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if cmp.Equal(w, got) {
			return
		}
	}
	t.Fatalf("checkpoint %v of %d sessions, want one of %v", got.At, len(got.Spent), want)
}

// TestTornCheckpoint cuts the newest checkpoint at each block, and spoils each of their bytes in
// turn, as a power cut may: the one before is found then.
func TestTornCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	store := open(t, path)
	before, last := checkpointAt(1, 3), checkpointAt(2, 1500)
	for _, k := range []sessions.Checkpoint{checkpointAt(0, 1), before, last} {
		if err := store.PutCheckpoint(k); err != nil {
			t.Fatal(err)
		}
	}
	wantCheckpoint(t, path, last)
	newest := path + "-checkpoint1" // the third
	whole, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(whole); cut += 4096 {
		write(t, newest, whole[:cut])
		wantCheckpoint(t, path, before)
	}
	for at := 0; at < 5800; at += 37 { // behind it is nothing
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 0x40
		write(t, newest, spoilt)
		wantCheckpoint(t, path, before)
	}
	write(t, newest, whole)
	wantCheckpoint(t, path, last)
}

// TestCheckpointAfterRestart: the next agent's first checkpoint is the newest, and leaves the
// last one of the agent before alone.
func TestCheckpointAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	for at := range dataplane.Boottime(5) {
		store, err := sqlite.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.PutCheckpoint(checkpointAt(at+1, 10)); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantCheckpoint(t, path, checkpointAt(at+1, 10))
	}
}

// TestCheckpointThatCannotBeWritten: the one before is read, and is not written over by the
// next attempt.
func TestCheckpointThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	store := open(t, path)
	if err := store.PutCheckpoint(checkpointAt(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere/at/all", path+"-checkpoint0"); err != nil {
		t.Fatal(err)
	}
	for at := range dataplane.Boottime(2) {
		if err := store.PutCheckpoint(checkpointAt(2+at, 3)); err == nil {
			t.Error("it was written nowhere")
		}
		if got, err := store.Checkpoint(); err != nil || got.At != 1 {
			t.Errorf("the checkpoint is of %d, %v; want that of 1", got.At, err)
		}
	}
}

// TestFormerCheckpointNames: what an agent of the former names wrote last is found, also
// when the first checkpoint after the upgrade was torn, and is gone after one that is whole.
func TestFormerCheckpointNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	store := open(t, path)
	for at := range dataplane.Boottime(3) {
		if err := store.PutCheckpoint(checkpointAt(at, 3)); err != nil {
			t.Fatal(err)
		}
	}
	for _, slot := range []string{"0", "1"} {
		if err := os.Rename(path+"-checkpoint"+slot, path+"-marks"+slot); err != nil {
			t.Fatal(err)
		}
	}
	wantCheckpoint(t, path, checkpointAt(2, 3))
	write(t, path+"-checkpoint0", []byte("HSAGmrk1 torn"))
	wantCheckpoint(t, path, checkpointAt(2, 3))

	next := open(t, path)
	if err := next.PutCheckpoint(checkpointAt(9, 1)); err != nil {
		t.Fatal(err)
	}
	wantCheckpoint(t, path, checkpointAt(9, 1))
	if left, err := filepath.Glob(path + "-marks*"); len(left) > 0 || err != nil {
		t.Errorf("left of the former names: %q, %v", left, err)
	}
}
