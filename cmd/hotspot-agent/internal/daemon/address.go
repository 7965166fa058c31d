// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Resolve returns the device behind an address, and registers it when it is new. ifname is
// the interface of its network, or "" for any.
func (s *Service) Resolve(ctx context.Context, ip netip.Addr, ifname string) (sessions.Device, error) {
	mac, err := s.macAt(ctx, ip, ifname)
	if err != nil {
		return sessions.Device{}, err
	}
	return s.Observe(ctx, mac, ip, "")
}

// FindDevice finds a device by its id, MAC or IP. Whose an IP is only the kernel knows: the
// database may have a former holder, which is not to be charged or cut off.
func (s *Service) FindDevice(ctx context.Context, ref string) (sessions.Device, error) {
	ip, ifname, isIP := sessions.SplitAddress(ref)
	if !isIP {
		if name, ifname, zoned := strings.Cut(ref, "%"); zoned {
			return sessions.Device{}, sessions.Invalidf("interface", "%q: only an IP address needs an interface, %q is none", ifname, name)
		}
		return s.Manager.FindDevice(ctx, ref)
	}
	mac, err := s.macAt(ctx, ip, ifname)
	if err != nil {
		return sessions.Device{}, err
	}
	d, err := s.Manager.FindDevice(ctx, mac.String())
	if sessions.CodeOf(err) == sessions.NotFound {
		return d, sessions.Errorf(sessions.NotFound, "%s is %s, which is no device yet: it bought nothing", ip, mac)
	}
	return d, err
}

// macAt is the MAC that has an address now.
func (s *Service) macAt(ctx context.Context, ip netip.Addr, ifname string) (dataplane.MAC, error) {
	holders, err := s.plane.HoldersOf(ip, ifname)
	switch {
	case errors.Is(err, dataplane.ErrNoInterface):
		return dataplane.MAC{}, sessions.Invalidf("interface", "%w", err)
	case errors.Is(err, dataplane.ErrNoNeighbor):
		return dataplane.MAC{}, s.notSeen(ctx, ip, ifname)
	case err != nil:
		return dataplane.MAC{}, err
	}
	for _, h := range holders {
		if h.MAC != holders[0].MAC {
			return dataplane.MAC{}, severalHolders(ip, holders)
		}
	}
	return holders[0].MAC, nil
}

// notSeen names the device that had an address last, if there is one: the caller may mean it.
func (s *Service) notSeen(ctx context.Context, ip netip.Addr, ifname string) error {
	where := "a client-facing interface"
	if ifname != "" {
		where = ifname
	}
	last := ""
	if d, err := s.LastWithAddress(ctx, ip); err == nil {
		last = fmt.Sprintf("; the last one that had it is device %d (%s): name that by its id or MAC", d.ID, d.MAC)
	}
	return sessions.Errorf(sessions.NotFound, "no device with the address %s is seen on %s now%s", ip, where, last)
}

func severalHolders(ip netip.Addr, holders []dataplane.Holder) error {
	names := make([]string, len(holders))
	for i, h := range holders {
		names[i] = fmt.Sprintf("%s on %s", h.MAC, h.Interface)
	}
	return sessions.Errorf(sessions.Conflict, "%s is %s: name the interface (interface=%s), or the device by its id or MAC",
		ip, strings.Join(names, " and "), holders[0].Interface)
}
