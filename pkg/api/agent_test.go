// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// testAgent is a whole agent but for the kernel, behind a real socket.
type testAgent struct {
	*apitest.Agent
	t      *testing.T
	server *server.Server
	served chan error
	client *api.Client
	log    *apitest.LogBuffer
	opts   server.Options
}

// startAgent starts an agent, and stops it when the test ends.
func startAgent(t *testing.T, opts server.Options) *testAgent {
	t.Helper()
	a := &testAgent{Agent: apitest.New(t.TempDir()), t: t, opts: opts, log: &apitest.LogBuffer{}}
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

// sell sells a minute to a device.
func (a *testAgent) sell(device string) api.Session {
	a.t.Helper()
	return apitest.Must(a.client.CreateSession(a.t.Context(), api.NewSession{Device: device, Type: "time", TimeSecs: 60}))(a.t).Session
}

// passes reports whether the kernel lets a device's packets through.
func (a *testAgent) passes(mac string) bool {
	a.t.Helper()
	return a.Kernel.Rule(apitest.Must(dataplane.ParseMAC(mac))(a.t)).Verdict == dataplane.Allow
}

func newLogger(l *apitest.LogBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
