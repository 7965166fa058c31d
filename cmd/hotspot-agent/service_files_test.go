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
	installed := bytes.ReplaceAll(text, []byte("/usr/bin/hotspot-agent"), []byte(program(t)))
	if err := os.WriteFile(unit, installed, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || bytes.Contains(out, []byte("hotspot-agent.service:")) {
		t.Errorf("unit: %v: %s", err, out)
	}
}

// What is installed by the README is what the service files run, and what a firmware
// upgrade keeps.
func TestServiceFilesAgree(t *testing.T) {
	for file, want := range map[string][]string{
		"README.md":                  {"bin/hotspot-agent /usr/bin/", "/etc/hotspot-agent/config.yaml", "dist/hotspot-agent.service", "dist/hotspot-agent.init"},
		"dist/hotspot-agent.service": {"ExecStart=/usr/bin/hotspot-agent run --config /etc/hotspot-agent/config.yaml"},
		"dist/hotspot-agent.init":    {"PROG=/usr/bin/hotspot-agent\n", "CONFIG=/etc/hotspot-agent/config.yaml\n", "START=19 ", "STOP=89\n", "/lib/upgrade/keep.d/hotspot-agent"},
		"dist/hotspot-agent.keep": {"\n/etc/hotspot-agent/\n", "\n/etc/init.d/hotspot-agent\n", "\n/etc/rc.d/S19hotspot-agent\n", "\n/etc/rc.d/K89hotspot-agent\n",
			"\n/usr/bin/hotspot-agent\n", "\n/lib/upgrade/keep.d/hotspot-agent\n"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(string(text), line) {
				t.Errorf("%s does not have %q", file, line)
			}
		}
	}
}
