// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// testAgent is a whole agent but for the kernel: the real rules over a real
// database, behind a real socket.
type testAgent struct {
	*sessions.Manager
	t         testing.TB
	dir       string
	kernel    *fakeKernel
	clock     *fakeClock
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
func startAgent(t testing.TB, opts ServerOptions) *testAgent {
	t.Helper()
	a := &testAgent{
		t: t, dir: t.TempDir(), kernel: newKernel(), clock: newClock(), opts: opts,
		log: &logBuffer{}, neighbors: map[netip.Addr]dataplane.MAC{},
	}
	a.opts.Log = slog.New(slog.NewTextHandler(a.log, nil))
	a.client = NewClient(a.socket())
	a.start()
	t.Cleanup(func() {
		a.client.Close()
		a.stop()
	})
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
	a.Manager = sessions.New(store, a.kernel, a.clock, sessions.Config{
		Dial: DialProvider, ProviderTimeout: 500 * time.Millisecond, Log: a.opts.Log,
	})
	if err := a.Reconcile(context.Background()); err != nil {
		a.t.Fatal(err)
	}
	ln, err := Listen(a.socket(), a.opts.Group)
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
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
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
	return must(a.client.CreateSession(a.t.Context(), NewSession{Device: device, Type: "time", TimeSecs: 60}))(a.t)
}

// wantCode checks the code of an error, and words of its message.
func wantCode(t testing.TB, err error, code sessions.Code, words ...string) {
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

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
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

// fakeKernel enforces nothing and counts nothing.
type fakeKernel struct {
	mu    sync.Mutex
	rules map[dataplane.MAC]dataplane.Rule
	known map[dataplane.Account]bool
}

func newKernel() *fakeKernel {
	return &fakeKernel{rules: map[dataplane.MAC]dataplane.Rule{}, known: map[dataplane.Account]bool{}}
}

func (k *fakeKernel) Grant(mac dataplane.MAC, rule dataplane.Rule) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rules[mac], k.known[rule.Account] = rule, true
	return nil
}

func (k *fakeKernel) Revoke(mac dataplane.MAC) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.rules, mac)
	return nil
}

func (k *fakeKernel) Read(account dataplane.Account) (dataplane.Reading, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.known[account] {
		return dataplane.Reading{}, dataplane.ErrNoAccount
	}
	return dataplane.Reading{Account: account, Epoch: 1}, nil
}

func (k *fakeKernel) Forget(account dataplane.Account) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, account)
	return nil
}

func (k *fakeKernel) Rules() (map[dataplane.MAC]dataplane.Rule, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rules := make(map[dataplane.MAC]dataplane.Rule, len(k.rules))
	for mac, rule := range k.rules {
		rules[mac] = rule
	}
	return rules, nil
}

// passes reports whether a device's packets would pass.
func (k *fakeKernel) passes(mac string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	parsed, err := dataplane.ParseMAC(mac)
	if err != nil {
		panic(fmt.Sprint("a test's MAC: ", err))
	}
	return k.rules[parsed].Verdict == dataplane.Allow
}

// fakeClock moves when it is told to.
type fakeClock struct {
	mu   sync.Mutex
	wall time.Time
	boot dataplane.Boottime
}

func newClock() *fakeClock {
	return &fakeClock{wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), boot: dataplane.Boottime(time.Hour)}
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.boot = c.wall.Add(d), c.boot.Add(d)
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *fakeClock) Boot() dataplane.Boottime {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot
}

func (c *fakeClock) BootID() string { return "one" }

func decodeJSON(text string, value any) error { return json.Unmarshal([]byte(text), value) }

func rawJSON(text string) json.RawMessage { return json.RawMessage(text) }

func asError(err error, own **sessions.Error) bool { return errors.As(err, own) }
