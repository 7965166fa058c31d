// SPDX-License-Identifier: Apache-2.0

package trim

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
)

// TestReadersAreNamed: the problem says which process to end. The child is this test again.
func TestReadersAreNamed(t *testing.T) {
	const pathOf = "HOTSPOT_SQLITE_TEST_READER"
	if path := os.Getenv(pathOf); path != "" {
		holdReading(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "held.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := conn.Open(journal.WAL.WriteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made.Close() }()
	if _, err := made.Exec("CREATE TABLE events (seq INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestReadersAreNamed$")
	child.Env = append(os.Environ(), pathOf+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	trimmer := New(path, slog.New(slog.DiscardHandler))
	trimmer.held.note(time.Now(), 10<<20)
	if held := trimmer.Held(); held != "" {
		t.Errorf("a problem at once: %s", held)
	}
	trimmer.held.over()
	trimmer.held.note(time.Now().Add(-2*heldLong), 10<<20)
	held := trimmer.Held()
	for _, want := range []string{path, "10 MB", fmt.Sprintf("process %d (", child.Process.Pid)} {
		if !strings.Contains(held, want) {
			t.Errorf("the problem lacks %q: %s", want, held)
		}
	}
	trimmer.held.over()
	if held := trimmer.Held(); held != "" {
		t.Errorf("it is over, and still a problem: %s", held)
	}
}

func holdReading(t *testing.T, path string) {
	t.Helper()
	c, err := conn.Open(journal.ReadDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"BEGIN", "SELECT count(*) FROM events"} {
		if err := c.Query(statement, func(*conn.Row) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("reading")
	time.Sleep(time.Minute) // killed before
}
