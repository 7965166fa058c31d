// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

func TestCheckDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?#.db")
	if f := checkDatabase(t.Context(), path); f.Result != resultOK || !strings.Contains(f.Detail, "not there yet") {
		t.Errorf("no file: %+v", f)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the check made the file")
	}
	store, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultOK || !strings.Contains(f.Detail, "is sound") {
		t.Errorf("while it is open: %+v", f)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[4096:], bytes.Repeat([]byte{0xa5}, 8192))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultFail || f.Advice == "" {
		t.Errorf("damaged: %+v", f)
	}
}

// A file that the daemon would refuse is not sound, though SQLite can read it.
func TestCheckDatabaseOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hotspot.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE songs (title TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if f := checkDatabase(t.Context(), path); f.Result != resultFail || !strings.Contains(f.Detail, "another program") {
		t.Errorf("another program's: %+v", f)
	}
}

func TestCheckDisk(t *testing.T) {
	if f := checkDisk("/nowhere/at/all"); f.Result == resultFail || !strings.HasPrefix(f.Detail, "/ ") {
		t.Errorf("a folder to be made: %+v", f)
	}
	if f := checkDisk("/dev/shm/hotspot"); f.Result != resultWarn || !strings.Contains(f.Advice, "power cut") {
		t.Errorf("in memory: %+v", f)
	}
	if f := checkDisk("/proc/1"); f.Result == resultOK {
		t.Errorf("no room: %+v", f)
	}
}

func TestDoctorAsksTheAgent(t *testing.T) {
	k := newKiosk(t)
	if f := diagnoseAgent(t.Context(), k.socket); f[0].Result != resultOK || !strings.Contains(f[0].Detail, "version v1.2.3") {
		t.Errorf("healthy: %+v", f)
	}
	k.plane.status.Problems = []string{"interface br-lan: gone"}
	if f := diagnoseAgent(t.Context(), k.socket); f[0].Result != resultFail || !strings.Contains(f[0].Detail, "br-lan: gone") {
		t.Errorf("ill: %+v", f)
	}
	if f := diagnoseAgent(t.Context(), k.socket+"2"); f[0].Result != resultWarn || !strings.Contains(f[0].Advice, "start it") {
		t.Errorf("no agent: %+v", f)
	}
	var findings []finding
	r := call(t, "doctor", "--json", "--socket", k.socket)
	if err := json.Unmarshal([]byte(r.out), &findings); err != nil || len(findings) < 5 || r.status == exitUsage {
		t.Errorf("%+v, %v", r, err)
	}
}

// The files for service managers say what these understand.
func TestServiceFiles(t *testing.T) {
	dist := filepath.Join("..", "..", "dist")
	if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(dist, "hotspot-agent.init")).CombinedOutput(); err != nil {
		t.Errorf("init script: %v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dist, "hotspot-agent.service"))
	if err != nil {
		t.Fatal(err)
	}
	for forbidden, why := range map[string]string{
		"\nPrivateTmp=":            "hides the sockets of session providers",
		"\nProtectKernelTunables=": "makes the bpffs read-only",
		"CAP_SYS_ADMIN":            "lets the agent mount a bpffs in the unit's mount namespace, with which its pins would end",
	} {
		if strings.Contains(string(text), forbidden) {
			t.Errorf("%q %s", strings.TrimSpace(forbidden), why)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // nothing here understands units; what is above is still held
	}
	unit := filepath.Join(t.TempDir(), "hotspot-agent.service")
	installed := bytes.ReplaceAll(text, []byte("/usr/local/bin/hotspot-agent"), []byte(program(t)))
	if err := os.WriteFile(unit, installed, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || bytes.Contains(out, []byte("hotspot-agent.service:")) {
		t.Errorf("unit: %v: %s", err, out)
	}
}

// --socket goes before the file, the file before the environment, as in run.
func TestWhichSocket(t *testing.T) {
	dir := t.TempDir()
	with, without := filepath.Join(dir, "with.yaml"), filepath.Join(dir, "without.yaml")
	for path, text := range map[string]string{with: "socket: " + dir + "/file.sock\n", without: "max_clients: 8\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) string { return map[string]string{"HOTSPOT_SOCKET": dir + "/env.sock"}[name] }
	for _, c := range []struct {
		want string
		args []string
	}{
		{"flag.sock", []string{"--config", with, "--socket", dir + "/flag.sock"}},
		{"file.sock", []string{"--config", with}},
		{"env.sock", []string{"--config", without}},
	} {
		a := newApp(env, io.Discard, io.Discard)
		w, err := understand(a.cli, append([]string{"run"}, c.args...))
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := a.contextOf(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		for name, load := range map[string]func(*cli.Context) (config.Config, error){"run": a.loadConfig, "doctor": a.loadOrDefault} {
			if cfg, err := load(ctx); err != nil || cfg.Socket != filepath.Join(dir, c.want) {
				t.Errorf("%s %v: socket %s, %v; want %s", name, c.args, cfg.Socket, err, c.want)
			}
		}
	}
}
