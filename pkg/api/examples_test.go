// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"bufio"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// runExample builds a program of examples/, a module of its own, and runs it until
// the test ends. It returns the rest of the first line that it logs with a word.
func runExample(t *testing.T, name, word string, args ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..", "examples", name)
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false -mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("examples/%s does not build: %v\n%s", name, err, out)
	}
	program := exec.Command(binary, args...)
	program.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	log, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	})
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if _, rest, found := strings.Cut(line, word); found {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // the pipe closes with the program
			return strings.TrimSpace(rest)
		}
		if err != nil {
			t.Fatalf("examples/%s ended: %s", name, line)
		}
	}
}

// A customer at the portal of examples/portal.
func TestExamplePortal(t *testing.T) {
	a := startAgent(t, server.Options{})
	a.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	address := runExample(t, "portal", "portal on ", "-socket", a.Socket(), "-listen", "127.0.0.1:0")

	for _, step := range []struct {
		method, path, want string
		status             int
		connected          bool
	}{
		{"GET", "/", "connected: false", 200, false},
		{"POST", "/connect", "buy a session first", 402, false},
		{"POST", "/buy", "You are now connected to internet.", 200, true},
		{"GET", "/", "60 s and 0.0 MB left, 5/3 Mbit/s", 200, true},
		{"POST", "/topup", "120 s", 200, true},
		{"POST", "/pause", "disconnected", 200, false},
		{"POST", "/topup", "not connected", 409, false},
		{"GET", "/available", "local session: 120 s", 200, false},
		{"POST", "/connect", "connected", 200, true},
	} {
		request, err := http.NewRequestWithContext(t.Context(), step.method, address+step.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-For", firstIP) // as a proxy on the router does
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		wire.CloseQuietly(answer.Body)
		if answer.StatusCode != step.status || !strings.Contains(string(body), step.want) || a.passes(firstMAC) != step.connected {
			t.Errorf("%s %s: %d %s, connected %v; want %d %q, %v", step.method, step.path,
				answer.StatusCode, body, a.passes(firstMAC), step.status, step.want, step.connected)
		}
	}
}

// The provider of examples/provider gives a device its minute.
func TestExampleProvider(t *testing.T) {
	a := startAgent(t, server.Options{})
	runExample(t, "provider", "registered", "-socket", a.Socket(), "-secs", "5")
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	status := apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
	if status.Session == nil || status.Session.Provider != "free-minutes" || status.Session.RemainingSecs != 5 {
		t.Fatalf("the device is %+v, want 5 s of free-minutes", status)
	}
	a.Clock.Advance(5_000_000_000)
	apitest.Must(a.client.Disconnect(t.Context(), firstMAC, ""))(t)
	sessionstest.WaitFor(t, "the provider knows that the minute is used", func() bool {
		_, err := a.client.AvailableSession(t.Context(), firstMAC)
		return sessions.CodeOf(err) == sessions.NoSession
	})
}
