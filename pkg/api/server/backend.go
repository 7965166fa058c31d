// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// Agent is what the API needs beside the rules. Safe for concurrent use. Errors that a
// client can act on are *sessions.Error; any other is logged and answered as internal.
type Agent interface {
	// FindDevice finds a device by its id, MAC or IP, which may have the interface of its
	// network behind a percent sign. Of an IP the holder of now counts, as with Resolve.
	FindDevice(ctx context.Context, ref string) (sessions.Device, error)
	// Resolve returns the device behind an address of a client network, and registers it
	// when it is new. ifname is the network's interface, "" for any. NotFound when no
	// neighbour has the address, Conflict when several have, Invalid for an interface
	// without clients.
	Resolve(ctx context.Context, ip netip.Addr, ifname string) (sessions.Device, error)
	AgentStatus(ctx context.Context) (api.AgentStatus, error)
	// Garden returns the walled garden as it is now.
	Garden(ctx context.Context) (api.Garden, error)
	// TestGarden returns whether a device that has not paid reaches a name. Invalid for what
	// is no name.
	TestGarden(ctx context.Context, name string) (api.GardenTest, error)
}

// backend is what every handler has.
type backend struct {
	rules *manager.Manager
	agent Agent
	log   *slog.Logger
}

func (b backend) find(c *call) (sessions.Device, error) {
	return b.agent.FindDevice(c.Context(), onInterface(c, c.PathValue("device")))
}

// onInterface adds the interface that a request names to its device's address.
func onInterface(c *call, ref string) string {
	if ifname := c.args.Get("interface"); ifname != "" {
		return ref + "%" + ifname
	}
	return ref
}

// deviceOrNew finds a device; a MAC not yet known becomes one, and so does the one behind
// an IP. It is for requests that are in order otherwise, so that a refused one makes no
// device.
func (b backend) deviceOrNew(c *call, ref string) (sessions.DeviceID, error) {
	ref = onInterface(c, ref)
	if ip, ifname, isIP := sessions.SplitAddress(ref); isIP {
		device, err := b.agent.Resolve(c.Context(), ip, ifname)
		return device.ID, err
	}
	device, err := b.agent.FindDevice(c.Context(), ref)
	if sessions.CodeOf(err) != sessions.NotFound {
		return device.ID, err
	}
	if _, notMAC := dataplane.ParseMAC(ref); notMAC != nil {
		return 0, err
	}
	device, err = b.rules.CreateDevice(c.Context(), sessions.DeviceSpec{MAC: ref})
	return device.ID, err
}

// abort returns an error that comes before the answer is opened. Afterwards it aborts the
// connection, so that the client does not take what it has for all.
func (b backend) abort(opened bool, err error) error {
	if !opened || err == nil {
		return err
	}
	b.log.Error("answer aborted", "err", errorForLog(err))
	panic(http.ErrAbortHandler)
}
