// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// full runs the program with a standard output that takes nothing.
func (k *kiosk) full(line string) (status int, stderr string) {
	k.Helper()
	out, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	var said bytes.Buffer
	status = run(k.Context(), append(strings.Fields(line), "--socket", k.socket), noEnv, out, &said)
	return status, said.String()
}

// The kind of fault: a command has done its work, and what it prints is lost without a
// word. Every command that prints fails with one line when nothing was written.
func TestOutputThatIsLost(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	for _, line := range []string{
		"--help", "session --help", "version", "version --json", "completion bash", "status", "status --json", "status 1", "connect 1", "disconnect 1",
		"device list", "device show 1", "device add 02:00:5e:10:00:09", "device update 1 --hostname phone", "session list", "session list --json",
		"session show 1", "session update 1 --down 5", "session export", "session move 1 --device 1", "session revoke-claim 1", "top --json", "session delete 1",
	} {
		status, stderr := k.full(line)
		if status != exit.Failed || !strings.Contains(stderr, "no space left") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", line, status, stderr)
		}
	}
}

// A code is shown once. When it could not be, the purchase is named, and the command that
// makes another code, which works.
func TestClaimCodeThatIsLost(t *testing.T) {
	k := newKiosk(t)
	status, stderr := k.full("session create --device 02:00:5e:10:00:01 --type time --time 1h")
	again := regexp.MustCompile(`session 1 is stored, .* (session renew-claim \d+)`).FindStringSubmatch(stderr)
	if status != exit.Failed || again == nil {
		t.Fatalf("exit status %d, %q", status, stderr)
	}
	renewed := decode[api.Claim](t, k.run(append(strings.Fields(again[1]), "--json")...))
	k.run("session", "claim", renewed.Claim, "--device", "02:00:5e:10:00:02").expect(t, exit.Done, "session    1")
	if status, stderr := k.full("session renew-claim 1"); status != exit.Failed || !strings.Contains(stderr, "session renew-claim 1") {
		t.Errorf("renewing: exit status %d, %q", status, stderr)
	}
}
