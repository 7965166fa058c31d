// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// testAgent is a whole agent but for the kernel, behind a real socket.
type testAgent struct {
	*apitest.Agent
	t      *testing.T
	server *server.Server
	served chan error
	client *api.Client
	log    *logBuffer
	opts   server.Options
}

// startAgent starts an agent, and stops it when the test ends.
func startAgent(t *testing.T, opts server.Options) *testAgent {
	t.Helper()
	a := &testAgent{Agent: apitest.New(t.TempDir()), t: t, opts: opts, log: &logBuffer{}}
	if a.opts.Log == nil {
		a.opts.Log = newLogger(a.log)
	}
	a.client = api.NewClient(a.Socket())
	a.start()
	t.Cleanup(a.stop)
	return a
}

func (a *testAgent) start() {
	a.t.Helper()
	config := manager.Config{Dial: server.DialProvider, ProviderTimeout: 500 * time.Millisecond, Log: a.opts.Log}
	if err := a.Open(context.Background(), config); err != nil {
		a.t.Fatal(err)
	}
	ln, err := server.Listen(a.Socket(), a.opts.Access)
	if err != nil {
		a.t.Fatal(err)
	}
	s, served := server.New(a.Manager, a, a.opts), make(chan error, 1)
	a.server, a.served = s, served
	go func() { served <- s.Serve(ln) }()
}

func (a *testAgent) stop() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		a.t.Errorf("Shutdown: %v", err)
	}
	if err := <-a.served; err != nil {
		a.t.Errorf("Serve: %v", err)
	}
	if err := a.Close(ctx); err != nil {
		a.t.Errorf("Close: %v", err)
	}
}

const (
	firstMAC  = "02:00:00:00:00:01"
	secondMAC = "02:00:00:00:00:02"
	firstIP   = "10.0.0.2"
)

// must unwraps what may not fail in a test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// sell sells a minute to a device.
func (a *testAgent) sell(device string) api.Session {
	a.t.Helper()
	return must(a.client.CreateSession(a.t.Context(), api.NewSession{Device: device, Type: "time", TimeSecs: 60}))(a.t).Session
}

// wantCode checks the code of an error, and words of its message.
func wantCode(t *testing.T, err error, code sessions.Code, words ...string) {
	t.Helper()
	if err == nil || sessions.CodeOf(err) != code {
		t.Errorf("error is %v (%s), want code %s", err, sessions.CodeOf(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// passes reports whether the kernel lets a device's packets through.
func (a *testAgent) passes(mac string) bool {
	a.t.Helper()
	return a.Kernel.Rule(must(dataplane.ParseMAC(mac))(a.t)).Verdict == dataplane.Allow
}

func newLogger(l *logBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
