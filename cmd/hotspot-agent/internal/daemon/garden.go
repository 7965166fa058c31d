// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// resolveWithin bounds a question to the router's resolver.
const resolveWithin = 5 * time.Second

// lookup resolves a name, as net.Resolver.LookupNetIP does.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Garden returns the walled garden as it is now.
func (s *Service) Garden(context.Context) (api.Garden, error) {
	status, err := s.plane.Garden()
	if err != nil {
		return api.Garden{}, err
	}
	garden := api.Garden{
		Ports: status.Ports, SpeedBPS: status.SpeedBPS, MaxAddresses: status.MaxAddresses, Counts: api.GardenCounts(status.Counts),
	}
	for _, n := range status.Networks() {
		garden.Networks = append(garden.Networks, n.String())
	}
	for _, n := range status.Names() {
		garden.Names = append(garden.Names, string(n))
	}
	for _, a := range status.Addresses {
		garden.Addresses = append(garden.Addresses, api.GardenAddress{
			Address: a.Addr.String(), RemainingSecs: wholeSeconds(a.For), NamedSecsAgo: int64(a.Last / time.Second),
		})
	}
	return garden, nil
}

// wholeSeconds rounds up: what is open has a second at least.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// TestGarden returns whether a device that has not paid reaches a name.
func (s *Service) TestGarden(ctx context.Context, text string) (api.GardenTest, error) {
	name, err := dataplane.ParseGardenName(text)
	if err == nil {
		if _, below := name.Below(); below {
			err = fmt.Errorf("%q stands for many names: test one of them", text)
		}
	}
	if err != nil {
		return api.GardenTest{}, sessions.Invalidf("name", "%v", err)
	}
	garden, err := s.plane.Garden()
	if err != nil {
		return api.GardenTest{}, err
	}
	return testGarden(ctx, garden, name, (&net.Resolver{PreferGo: true}).LookupNetIP), nil
}

func testGarden(ctx context.Context, garden dataplane.GardenStatus, name dataplane.GardenName, resolve lookup) api.GardenTest {
	test := api.GardenTest{Name: string(name)}
	names := garden.Names()
	if i := slices.IndexFunc(names, func(n dataplane.GardenName) bool { return n.Matches(name) }); i >= 0 {
		test.Matches, test.Entry = true, string(names[i])
	}
	within, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	addrs, err := resolve(within, "ip", string(name)+".") // no search list
	if err != nil {
		test.ResolveError = err.Error()
		if reason := (*net.DNSError)(nil); errors.As(err, &reason) {
			test.ResolveError = reason.Err
		}
	}
	for _, a := range addrs {
		test.Addresses = append(test.Addresses, testAddress(garden, a.Unmap(), test.Matches))
	}
	return test
}

// testAddress says whether an address is open, and why.
func testAddress(garden dataplane.GardenStatus, addr netip.Addr, matches bool) api.GardenTestAddress {
	is := api.GardenTestAddress{Address: addr.String()}
	networks := garden.Networks()
	if i := slices.IndexFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) }); i >= 0 {
		is.Open, is.Why = true, fmt.Sprintf("it is in the network %s", networks[i])
		return is
	}
	if i := slices.IndexFunc(garden.Addresses, func(a dataplane.GardenAddress) bool { return a.Addr == addr }); i >= 0 {
		is.Open, is.RemainingSecs = true, wholeSeconds(garden.Addresses[i].For)
		is.Why = fmt.Sprintf("the router's DNS answered a device with it, on ports %v", garden.Ports)
		return is
	}
	switch {
	case !matches:
		is.Why = "the name is not in walled_garden"
	case !dataplane.GardenOpens(addr):
		is.Why = "a name opens no address that is private or special: add the network to walled_garden"
	default:
		is.Why = "no device has asked the router's DNS for the name lately: it opens with the answer"
	}
	return is
}
