// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// kiosk is everything of the agent but the kernel: real rules, database and
// socket over a kernel that a test plays.
type kiosk struct {
	*testing.T
	socket  string
	clock   *sessionstest.Clock
	kernel  *sessionstest.Kernel
	store   *sqlite.Store
	manager *manager.Manager
	plane   *playedPlane
	server  *server.Server
}

// playedPlane is what the API sees of the kernel.
type playedPlane struct {
	neighbors map[netip.Addr]dataplane.MAC
	status    dataplane.Status
}

func (p *playedPlane) HoldersOf(ip netip.Addr, ifname string) ([]dataplane.Holder, error) {
	if mac, ok := p.neighbors[ip]; ok && (ifname == "" || ifname == "br-lan") {
		return []dataplane.Holder{{MAC: mac, Interface: "br-lan"}}, nil
	}
	return nil, dataplane.ErrNoNeighbor
}

func (p *playedPlane) Status() dataplane.Status      { return p.status }
func (p *playedPlane) Problems() []dataplane.Problem { return p.status.Problems }
func (p *playedPlane) Garden() (dataplane.GardenStatus, error) {
	return dataplane.GardenStatus{MaxAddresses: 10_000}, nil
}

var phone = dataplane.MAC{2, 0, 0x5e, 0x10, 0, 1}

func newKiosk(t *testing.T) *kiosk {
	t.Helper()
	dir := t.TempDir()
	k := &kiosk{T: t, socket: filepath.Join(dir, "agent.sock"), clock: sessionstest.NewClock()}
	k.kernel = sessionstest.NewKernel(k.clock)
	k.plane = &playedPlane{
		neighbors: map[netip.Addr]dataplane.MAC{netip.MustParseAddr("10.0.0.23"): phone},
		status: dataplane.Status{
			Kernel: "6.6.0", Limiter: dataplane.Fair, Healthy: true, MaxClients: 4096,
			Interfaces: []dataplane.Interface{{Name: "br-lan", Index: 3, Attached: true, Mode: dataplane.TCX, Since: 1}},
			Traffic: []dataplane.Traffic{
				{Direction: "upload", Reason: "drop_no_rule", Frames: 7, Bytes: 700},
				{Direction: "download", Reason: "pass_forwarded", Frames: 9, Bytes: 9000},
				{Direction: "download", Reason: "drop_rate"},
			},
		},
	}
	var err error
	if k.store, err = sqlite.Open(filepath.Join(dir, "hotspot.db"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.store.Close() })
	k.manager = manager.New(k.store, k.kernel, k.clock, manager.Config{LowBalancePercent: 10, GlobalDownBPS: 2_000_000})
	if err := k.manager.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.serve()
	t.Cleanup(func() { k.stopServer() })
	return k
}

func (k *kiosk) serve() {
	k.Helper()
	listener, err := server.Listen(k.socket, server.Access{})
	if err != nil {
		k.Fatal(err)
	}
	service := daemon.NewService(k.manager, k.plane, "v1.2.3", time.Date(2026, 3, 29, 11, 0, 0, 0, time.UTC))
	k.server = server.New(service.Manager, service, server.Options{})
	server := k.server
	go func() { _ = server.Serve(listener) }()
}

func (k *kiosk) stopServer() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := k.server.Shutdown(ctx); err != nil {
		k.Error(err)
	}
}

// run calls the program against the kiosk.
func (k *kiosk) run(args ...string) result {
	k.Helper()
	return call(k.T, append(args, "--socket", k.socket)...)
}

// sell has device 1, the phone, buy.
func (k *kiosk) sell(flags ...string) {
	k.Helper()
	k.run(append([]string{"session", "create", "--device", phone.String()}, flags...)...).expect(k.T, exit.Done)
}
