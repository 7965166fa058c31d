// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// testAgent is a whole agent but for the kernel: the real rules over a real
// database, behind a real socket.
type testAgent struct {
	*manager.Manager
	t         *testing.T
	dir       string
	kernel    *sessionstest.Kernel
	clock     *sessionstest.Clock
	store     *sqlite.Store
	server    *Server
	served    chan error
	client    *Client
	log       *logBuffer
	neighbors map[netip.Addr]dataplane.MAC
	panics    bool // AgentStatus panics
	opts      ServerOptions
}

// startAgent starts an agent, and stops it when the test ends.
func startAgent(t *testing.T, opts ServerOptions) *testAgent {
	t.Helper()
	clock := sessionstest.NewClock()
	a := &testAgent{
		t: t, dir: t.TempDir(), kernel: sessionstest.NewKernel(clock), clock: clock, opts: opts,
		log: &logBuffer{}, neighbors: map[netip.Addr]dataplane.MAC{},
	}
	if a.opts.Log == nil {
		a.opts.Log = newLogger(a.log)
	}
	a.client = NewClient(a.socket())
	a.start()
	t.Cleanup(a.stop)
	return a
}

func (a *testAgent) socket() string { return filepath.Join(a.dir, "agent.sock") }

func (a *testAgent) start() {
	a.t.Helper()
	store, err := sqlite.Open(filepath.Join(a.dir, "hotspot.db"), a.opts.Log)
	if err != nil {
		a.t.Fatal(err)
	}
	a.store = store
	a.Manager = manager.New(store, a.kernel, a.clock, manager.Config{
		Dial: DialProvider, ProviderTimeout: 500 * time.Millisecond, Log: a.opts.Log,
	})
	if err := a.Reconcile(context.Background()); err != nil {
		a.t.Fatal(err)
	}
	ln, err := Listen(a.socket(), a.opts.Access)
	if err != nil {
		a.t.Fatal(err)
	}
	server, served := NewServer(a, a.opts), make(chan error, 1)
	a.server, a.served = server, served
	go func() { served <- server.Serve(ln) }()
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
	if err := a.Stop(ctx, false); err != nil {
		a.t.Errorf("Stop: %v", err)
	}
	if err := a.store.Close(); err != nil {
		a.t.Errorf("closing the store: %v", err)
	}
}

// Resolve knows the neighbours of the test.
func (a *testAgent) Resolve(ctx context.Context, ip netip.Addr) (sessions.Device, error) {
	mac, ok := a.neighbors[ip]
	if !ok {
		return sessions.Device{}, sessions.Errorf(sessions.NotFound, "no neighbour has the address %s", ip)
	}
	return a.Observe(ctx, mac, ip, "")
}

func (a *testAgent) AgentStatus(ctx context.Context) (AgentStatus, error) {
	if a.panics {
		panic("on purpose")
	}
	sum, err := a.Summary(ctx)
	counts := Counts{Devices: sum.Devices, Connected: sum.Connected, LastEvent: sum.LastSeq, MaxClients: 4096}
	return AgentStatus{
		Version: "test", Kernel: "6.1.0", AttachMode: "tcx", StartedAt: a.clock.Now(), Counts: counts,
		Interfaces: []InterfaceStatus{{Name: "br-lan", Index: 3, Attached: true, Mode: "tcx", Since: timeOf(a.clock.Now())}},
		Health:     Health{OK: true, ClockSane: sum.ClockSane},
		Drops:      []PacketCount{{Direction: "up", Reason: "no_rule", Frames: 1, Bytes: 60}},
	}, err
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
func (a *testAgent) sell(device string) Session {
	a.t.Helper()
	return must(a.client.CreateSession(a.t.Context(), NewSession{Device: device, Type: "time", TimeSecs: 60}))(a.t).Session
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
	return a.kernel.Rule(must(dataplane.ParseMAC(mac))(a.t)).Verdict == dataplane.Allow
}

func decodeJSON(text string, value any) error { return json.Unmarshal([]byte(text), value) }

func rawJSON(text string) json.RawMessage { return json.RawMessage(text) }

func asError(err error, own **sessions.Error) bool { return errors.As(err, own) }

func newLogger(l *logBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
