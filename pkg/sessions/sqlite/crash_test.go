// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// childPath marks the test binary as the child that is killed.
const childPath = "HOTSPOT_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		sell(path)
	}
	os.Exit(m.Run())
}

// sell stores devices as fast as it can and prints the id of each after Update
// returned, until it is killed.
func sell(path string) {
	store, err := sqlite.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}}
		err := store.Update(neverEnds, func(tx sessions.Tx) error {
			if err := tx.PutDevice(&d); err != nil {
				return err
			}
			return tx.AppendEvent(&sessions.Event{Type: sessions.DeviceCreated, Device: d.ID})
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(d.ID)
	}
}

// TestKilled kills a process that writes, several times on one file, and finds all
// that Update had returned for, whole.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	create(t, path)
	for round := range 3 {
		execute(t, path, "DELETE FROM devices")
		last := killAfter(t, path, 20+13*round)
		store := open(t, path)
		stored := devices(t, store)
		if n := len(stored); n == 0 || stored[n-1].ID < last {
			t.Fatalf("round %d: Update returned for device %d, which is not stored", round, last)
		}
		wantGapless(t, store, int64(stored[len(stored)-1].ID))
	}
}

// killAfter kills the child at its n-th line and returns the last id that it had
// printed by then.
func killAfter(t *testing.T, path string, n int) sessions.DeviceID {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last, lines := 0, bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the child says: %s", lines.Text())
		}
		last = id
		if i == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	return sessions.DeviceID(last)
}

// wantGapless: each device was stored with its event, in one transaction.
func wantGapless(t *testing.T, store *sqlite.Store, want int64) {
	t.Helper()
	err := store.View(t.Context(), func(tx sessions.Tx) error {
		events, err := tx.Events(0, 0)
		for i, e := range events {
			if e.Seq != int64(i+1) || int64(e.Device) != e.Seq {
				t.Fatalf("event %d: %+v", i+1, e)
			}
		}
		if int64(len(events)) != want {
			t.Errorf("%d events for %d devices", len(events), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTornWAL cuts the WAL anywhere, as a power cut may: the store opens with the
// transactions that are whole, in order, and none of the torn one.
func TestTornWAL(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hotspot.db")
	create(t, path) // all in the file, the WAL is gone
	store := open(t, path)
	const count = 5
	for n := range count {
		addDevice(t, store, byte(n+1))
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for cut := 0; cut <= len(wal); cut += 997 {
		torn := filepath.Join(dir, strconv.Itoa(cut), "hotspot.db")
		copyTorn(t, path, torn, wal[:cut])
		got := devices(t, open(t, torn))
		for i, d := range got {
			if int(d.ID) != i+1 || d.Hostname != "phone" {
				t.Fatalf("cut at %d: device %d is %+v", cut, i+1, d)
			}
		}
		seen[len(got)] = true
	}
	if !seen[0] || !seen[count-1] {
		t.Errorf("the cuts left %v devices, want from none to nearly all", seen)
	}
}

func copyTorn(t *testing.T, from, to string, wal []byte) {
	t.Helper()
	if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	whole, err := io.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, whole)
	write(t, to+"-wal", wal)
}
