// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// Backup and restore by the command line: refused where an agent runs, which is named, and
// where the file exists.
func TestBackupCommands(t *testing.T) {
	dir := t.TempDir()
	config, file := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "b.db")
	text := fmt.Sprintf("interfaces: [br-lan]\nstate_dir: %s\nsocket: %s\n", filepath.Join(dir, "state"), filepath.Join(dir, "agent.sock"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "state", "hotspot.db")
	call(t, "backup", file, "--config", config).expect(t, exit.Failed, database, "no such file")
	store, err := sqlite.Open(database, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	call(t, "backup", file, "--config", config).expect(t, exit.Done, file+" is a backup of "+database)
	call(t, "backup", file, "--config", config).expect(t, exit.Failed, file+": file already exists")
	call(t, "backup", "--config", config).expect(t, exit.Usage)

	lock, err := os.OpenFile(filepath.Join(dir, "state", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.WriteString("4711\n"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	call(t, "restore", file, "--config", config).expect(t, exit.Failed, "pid 4711", filepath.Join(dir, "agent.sock"), "stop it first")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	call(t, "restore", config, "--config", config).expect(t, exit.Failed, "no backup", config)
	out := call(t, "restore", file, "--config", config)
	out.expect(t, exit.Done, database+" is restored", "kept as "+database+".replaced-")
	if !strings.Contains(out.out, "remove it") {
		t.Errorf("it says %s", out.out)
	}
}
