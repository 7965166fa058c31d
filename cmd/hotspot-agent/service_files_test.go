// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
