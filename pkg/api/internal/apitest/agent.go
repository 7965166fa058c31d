// SPDX-License-Identifier: Apache-2.0

// Package apitest is an agent for the tests and the examples of the API: the real rules
// over a real database, with a simulated kernel. It does not serve a socket.
package apitest

import (
	"context"
	"net/netip"
	"path/filepath"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// Agent is the rules and what the API needs beside them. Kernel and Clock outlive a
// Close, as they do a restart of an agent.
type Agent struct {
	*manager.Manager
	Dir       string
	Kernel    *sessionstest.Kernel
	Clock     *sessionstest.Clock
	Store     *sqlite.Store
	Neighbors map[netip.Addr]dataplane.MAC
	StatusErr error // what AgentStatus fails with
	Panics    bool  // AgentStatus panics
}

// New makes an agent whose files are in dir. Open starts it.
func New(dir string) *Agent {
	clock := sessionstest.NewClock()
	return &Agent{Dir: dir, Clock: clock, Kernel: sessionstest.NewKernel(clock), Neighbors: map[netip.Addr]dataplane.MAC{}}
}

// Socket is where the agent is to be served.
func (a *Agent) Socket() string { return filepath.Join(a.Dir, "agent.sock") }

// Open opens the database and makes it agree with the kernel.
func (a *Agent) Open(ctx context.Context, config manager.Config) error {
	store, err := sqlite.Open(filepath.Join(a.Dir, "hotspot.db"), config.Log)
	if err != nil {
		return err
	}
	a.Store = store
	a.Manager = manager.New(store, a.Kernel, a.Clock, config)
	return a.Reconcile(ctx)
}

// Close stops the rules and closes the database.
func (a *Agent) Close(ctx context.Context) error {
	if err := a.Stop(ctx, false); err != nil {
		return err
	}
	return a.Store.Close()
}

// Resolve knows the Neighbors, all of them on br-lan.
func (a *Agent) Resolve(ctx context.Context, ip netip.Addr, ifname string) (sessions.Device, error) {
	mac, ok := a.Neighbors[ip]
	if !ok || ifname != "" && ifname != "br-lan" {
		return sessions.Device{}, sessions.Errorf(sessions.NotFound, "no neighbour has the address %s", ip)
	}
	return a.Observe(ctx, mac, ip, "")
}

// FindDevice knows the holders of addresses as Resolve does.
func (a *Agent) FindDevice(ctx context.Context, ref string) (sessions.Device, error) {
	if ip, ifname, isIP := sessions.SplitAddress(ref); isIP {
		return a.Resolve(ctx, ip, ifname)
	}
	return a.Manager.FindDevice(ctx, ref)
}

// Garden has one name, and an address of it.
func (a *Agent) Garden(context.Context) (api.Garden, error) {
	return api.Garden{
		Names: []string{"pay.example"}, Ports: []uint16{443, 80}, SpeedBPS: 1_000_000, MaxAddresses: 10_000,
		Addresses: []api.GardenAddress{{Address: "203.0.113.2", RemainingSecs: 590, NamedSecsAgo: 10}},
	}, nil
}

// TestGarden knows that name.
func (a *Agent) TestGarden(_ context.Context, name string) (api.GardenTest, error) {
	if name != "pay.example" {
		return api.GardenTest{}, sessions.Invalidf("name", "%q is not a name", name)
	}
	return api.GardenTest{
		Name: name, Matches: true, Entry: name,
		Addresses: []api.GardenTestAddress{{Address: "203.0.113.2", Open: true, RemainingSecs: 590, Why: "a test"}},
	}, nil
}

// AgentStatus is that of an agent on one bridge.
func (a *Agent) AgentStatus(ctx context.Context) (api.AgentStatus, error) {
	if a.Panics {
		panic("on purpose")
	}
	if a.StatusErr != nil {
		return api.AgentStatus{}, a.StatusErr
	}
	sum, err := a.Summary(ctx)
	attached := a.Clock.Now()
	return api.AgentStatus{
		Version: "test", Kernel: "6.1.0", AttachMode: "tcx", StartedAt: attached,
		Counts:     api.Counts{Devices: sum.Devices, Visitors: sum.Visitors, Connected: sum.Connected, LastEvent: sum.LastSeq, Generation: sum.Generation.String(), MaxClients: 4096},
		Interfaces: []api.InterfaceStatus{{Name: "br-lan", Index: 3, Attached: true, Mode: "tcx", Since: &attached}},
		Health:     api.Health{OK: true, ClockSane: sum.ClockSane},
		Drops:      []api.PacketCount{{Direction: "up", Reason: "no_rule", Frames: 1, Bytes: 60}},
	}, err
}
