// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// BenchmarkConnect is a Connect through the socket, client and server in one process,
// with a simulated kernel: "start" starts a session in SQLite, "connected" finds it
// running in a store in memory, which is what the socket costs. cpu-us/op is the time of all
// threads, of Connect only.
func BenchmarkConnect(b *testing.B) {
	for _, connected := range []bool{false, true} {
		name := "start"
		if connected {
			name = "connected"
		}
		b.Run(name, func(b *testing.B) { benchmarkConnect(b, connected) })
	}
}

func benchmarkConnect(b *testing.B, connected bool) {
	agent := apitest.New(b.TempDir())
	if connected {
		agent.Manager = manager.New(sessionstest.NewStore(), agent.Kernel, agent.Clock, manager.Config{})
	} else if err := agent.Open(b.Context(), manager.Config{}); err != nil {
		b.Fatal(err)
	}
	ln, err := Listen(agent.Socket(), Access{})
	if err != nil {
		b.Fatal(err)
	}
	s := New(agent.Manager, agent, Options{})
	go func() { _ = s.Serve(ln) }()
	defer func() { _ = s.Shutdown(b.Context()) }()
	device, err := agent.CreateDevice(b.Context(), sessions.DeviceSpec{MAC: firstMAC})
	if err != nil {
		b.Fatal(err)
	}
	_, err = agent.CreateSession(b.Context(), sessions.SessionSpec{Device: device.ID, Type: sessions.Data, Bytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	client := api.NewClient(agent.Socket())
	var cpu time.Duration
	b.ReportAllocs()
	for b.Loop() {
		before := cpuTime(b)
		if _, err := client.Connect(b.Context(), firstMAC, ""); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b) - before
		if connected {
			continue
		}
		if _, err := agent.Disconnect(b.Context(), device.ID, ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op")
}

// cpuTime is what the process used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
