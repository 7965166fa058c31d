// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// Set in a copy of the test binary that is a session provider: the agent's socket,
// how it behaves, and where it keeps its one session.
const (
	asProvider   = "HOTSPOT_TEST_PROVIDER"
	providerMode = "HOTSPOT_TEST_PROVIDER_MODE"
	providerFile = "HOTSPOT_TEST_PROVIDER_FILE"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(asProvider); socket != "" {
		os.Exit(runProvider(socket))
	}
	os.Exit(m.Run())
}

// runProvider provides until its standard input ends.
func runProvider(socket string) int {
	agent, err := api.Dial(socket)
	if err == nil {
		err = agent.SessionsMgr().RegisterSessionProvider(&shop{mode: os.Getenv(providerMode), file: os.Getenv(providerFile)})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("registered")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := agent.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// shop is a provider of one session, for the device with firstMAC.
type shop struct{ mode, file string }

func (*shop) Name() string { return "shop" }

func (s *shop) GetSession(_ context.Context, clnt api.ClientDevice) (api.SessionSource, bool) {
	switch s.mode {
	case "slow":
		time.Sleep(3 * time.Second)
	case "panic":
		panic("the shop burns")
	}
	return &shopSession{shop: s}, clnt.MacAddr() == firstMAC
}

func (s *shop) FetchSessions(_ context.Context, _ api.ClientDevice, page, perPage int) (api.FetchSessionsResult, error) {
	if page > 1 {
		return api.FetchSessionsResult{}, fmt.Errorf("there is no page %d", page)
	}
	return api.FetchSessionsResult{Sessions: []api.SessionData{(&shopSession{shop: s}).Data()}, Pages: 1, Count: perPage}, nil
}

type shopSession struct{ shop *shop }

var shopFile sync.Mutex

func (s *shopSession) Data() api.SessionData {
	shopFile.Lock()
	defer shopFile.Unlock()
	data := api.SessionData{
		Provider: "shop", Type: 2, TimeSecs: 100, DataMb: 1.5, DownMbits: 5, UpMbits: 3,
		CreatedAt: time.Date(2026, 3, 1, 0, 0, 0, 123456789, time.UTC),
	}
	switch s.shop.mode {
	case "nan":
		data.DataMb = math.NaN()
	case "negative":
		data.DownMbits = -1
	case "type":
		data.Type = 9
	}
	if text, err := os.ReadFile(s.shop.file); err == nil {
		_ = json.Unmarshal(text, &data)
	}
	return data
}

func (s *shopSession) Save(_ context.Context, data api.SessionData) error {
	shopFile.Lock()
	defer shopFile.Unlock()
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.shop.file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(s.shop.file+".new", s.shop.file)
}

func (s *shopSession) Reload(context.Context) (api.SessionData, error) { return s.Data(), nil }

// shopProcess is a provider in a process of its own.
type shopProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Closer
	file string
}

func startShop(t *testing.T, a *testAgent, mode, file string) *shopProcess {
	t.Helper()
	p := &shopProcess{t: t, cmd: exec.Command("/proc/self/exe"), file: file}
	p.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir(), asProvider+"="+a.Socket(), providerMode+"="+mode, providerFile+"="+file)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "registered\n" {
		t.Fatalf("the provider says %q, %v", line, err)
	}
	return p
}

// kill is SIGKILL: nothing is unregistered.
func (p *shopProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// finish lets it close its API.
func (p *shopProcess) finish() {
	p.t.Helper()
	wire.CloseQuietly(p.in)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the provider ended with %v", err)
	}
}

// saved is what the provider was given.
func (p *shopProcess) saved() (data api.SessionData) {
	text, err := os.ReadFile(p.file)
	if err == nil {
		_ = json.Unmarshal(text, &data)
	}
	return data
}

func TestProviderInAnotherProcess(t *testing.T) {
	a := startAgent(t, server.Options{})
	p := startShop(t, a, "", filepath.Join(t.TempDir(), "shop.json"))
	a.sell(firstMAC) // the agent's own; the provider is asked first
	a.sell(secondMAC)

	offered := apitest.Must(a.client.AvailableSession(t.Context(), firstMAC))(t)
	if offered.Provider != "shop" || offered.TimeSecs != 100 || offered.DataBytes != 1_500_000 || offered.DownBPS != 5_000_000 {
		t.Errorf("available is %+v, want the shop's session", offered)
	}
	status := apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
	if status.Session.Provider != "shop" || !a.passes(firstMAC) {
		t.Fatalf("after Connect the status is %+v, want the shop's session", status)
	}
	if other := apitest.Must(a.client.Connect(t.Context(), secondMAC, ""))(t); other.Session.Provider != sessions.LocalProvider {
		t.Errorf("the second device runs %+v, want its local session", other.Session)
	}
	a.Clock.Advance(10*time.Second + 700*time.Millisecond)
	apitest.Must(a.client.Disconnect(t.Context(), firstMAC, ""))(t)
	sessionstest.WaitFor(t, "the shop saved 10 s", func() bool { return p.saved().TimeCons == 10 })

	// The rest of a second is not lost on the way.
	apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
	a.Clock.Advance(300 * time.Millisecond)
	if running := apitest.Must(a.client.CurrentSession(t.Context(), firstMAC))(t); running.TimeUsedSecs != 11 || running.ID != status.Session.ID {
		t.Errorf("after 10.7 s and 0.3 s the session is %+v, want 11 s used of session %d", running, status.Session.ID)
	}
	apitest.Must(a.client.Disconnect(t.Context(), firstMAC, ""))(t)
	sessionstest.WaitFor(t, "the shop saved 11 s", func() bool { return p.saved().TimeCons == 11 })
	p.finish()
	if left := apitest.Must(a.client.Providers(t.Context()))(t); len(left) != 0 {
		t.Errorf("after Close the agent has %+v", left)
	}
}

// A provider that dies costs its customers nothing, and what was used meanwhile is
// saved to the next process.
func TestProviderDiesAndComesBack(t *testing.T) {
	a := startAgent(t, server.Options{})
	file := filepath.Join(t.TempDir(), "shop.json")
	p := startShop(t, a, "", file)
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
	p.kill()

	a.Clock.Advance(20 * time.Second)
	if status := apitest.Must(a.client.Disconnect(t.Context(), firstMAC, ""))(t); status.Connected {
		t.Error("a dead provider keeps its customer connected")
	}
	a.sell(secondMAC)
	if status := apitest.Must(a.client.Connect(t.Context(), secondMAC, ""))(t); !status.Connected {
		t.Error("a dead provider keeps another from connecting")
	}
	_, err := a.client.Connect(t.Context(), firstMAC, "")
	apitest.WantCode(t, err, sessions.NoSession)

	p = startShop(t, a, "", file)
	sessionstest.WaitFor(t, "the new process saved 20 s", func() bool { return p.saved().TimeCons == 20 })
	if status := apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t); status.Session.TimeUsedSecs != 20 {
		t.Errorf("the session continues as %+v, want 20 s used", status.Session)
	}
}

// Whatever a provider does, the device gets its own session, in time.
func TestProviderMisbehaves(t *testing.T) {
	for _, mode := range []string{"slow", "panic", "nan", "negative", "type"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			a := startAgent(t, server.Options{})
			startShop(t, a, mode, filepath.Join(t.TempDir(), "shop.json"))
			a.sell(firstMAC)
			began := time.Now()
			status := apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
			if status.Session.Provider != sessions.LocalProvider {
				t.Errorf("the device runs %+v, want its local session", status.Session)
			}
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("Connect took %v, with a time-out of 500 ms", took)
			}
			if !strings.Contains(a.log.String(), "shop") {
				t.Errorf("the log does not name the provider: %s", a.log)
			}
		})
	}
}

// A provider registers again with an agent that lost its memory.
func TestProviderRegistersAgain(t *testing.T) {
	a := startAgent(t, server.Options{})
	startShop(t, a, "", filepath.Join(t.TempDir(), "shop.json"))
	before := apitest.Must(a.client.Providers(t.Context()))(t)
	a.stop()
	left, err := filepath.Glob(filepath.Join(a.Dir, "hotspot.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	sessionstest.WaitFor(t, "the provider is registered again", func() bool {
		return cmp.Equal(apitest.Must(a.client.Providers(t.Context()))(t), before)
	})
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	if status := apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t); status.Session.Provider != "shop" {
		t.Errorf("the device runs %+v, want the shop's session", status.Session)
	}
}

func TestProviderListsSessions(t *testing.T) {
	a := startAgent(t, server.Options{})
	startShop(t, a, "", filepath.Join(t.TempDir(), "shop.json"))
	remote := server.DialProvider(apitest.Must(a.Providers(t.Context()))(t)[0])
	device := apitest.Must(a.CreateDevice(t.Context(), sessions.DeviceSpec{MAC: firstMAC}))(t)
	page := apitest.Must(remote.FetchSessions(t.Context(), device, 1, 20))(t)
	if page.Pages != 1 || page.Count != 20 || len(page.Sessions) != 1 || page.Sessions[0].Bytes != 1_500_000 {
		t.Errorf("page is %+v", page)
	}
	_, err := remote.FetchSessions(t.Context(), device, 2, 20)
	apitest.WantCode(t, err, sessions.Internal, "shop", "no page 2")
	_, err = remote.FetchSessions(t.Context(), device, -1, 20)
	apitest.WantCode(t, err, sessions.Invalid, "page")
	apitest.WantCode(t, remote.Save(t.Context(), "never given", sessions.SessionData{}), sessions.NotFound, "no session has this token")
	_, err = remote.Reload(t.Context(), "never given")
	apitest.WantCode(t, err, sessions.NotFound, "no session has this token")
}
