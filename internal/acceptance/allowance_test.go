// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// What is free of a connected device's DNS, as docs/LIMITS.md has it.
const (
	freeDNSBytes     = 64_000
	freeDNSPerSecond = 64_000 / 8
)

// A service that asks the internet on a customer's behalf must not be a way past the balance:
// what a connected customer sends to the router's DNS beyond the free speed is debited to the
// byte, and none of it is dropped for being DNS.
func TestDNSBeyondTheFreeIsDebited(t *testing.T) {
	const ipBytes, enough = 1200, 1_000_000
	for network, router := range map[string]string{"udp4": lab.RouterLAN4, "udp6": lab.RouterLAN6} {
		t.Run(network, func(t *testing.T) {
			s := open(t, lab.KioskConfig{Customers: 1})
			resolver, err := s.kiosk.Router.Sink(network, 53)
			must(t, err)
			t.Cleanup(func() { _ = resolver.Close() })
			session := s.sell(0, "--type", "data", "--data", "10MB")
			start := lab.Boottime()
			stop := s.blast(s.kiosk.Customers[0], netip.AddrPortFrom(netip.MustParseAddr(router), 53), 8e6, ipBytes)
			s.until("DNS at the router", func() bool { return resolver.Read().Bytes > enough })
			sent := stop()
			s.until("the last packet", func() bool { return resolver.Read().Packets == sent })
			arrived := resolver.Read().Bytes
			least, most := uint64(freeDNSBytes-ipBytes), freeDNSBytes+uint64((lab.Boottime()-start).Seconds()*freeDNSPerSecond)+1
			free := arrived - s.used(session.ID)
			t.Logf("of %d bytes of DNS, %d were free, want %d to %d", arrived, free, least, most)
			if free < least || free > most {
				t.Errorf("%d of %d bytes were free, want %d to %d", free, arrived, least, most)
			}
		})
	}
}

// A flow that is open before paying needs its ICMP errors: behind a narrow uplink a device
// learns from the router how long its packets to the walled garden may be.
func TestNarrowUplinkBeforePaying(t *testing.T) {
	const enough = 200_000
	s := open(t, lab.KioskConfig{Customers: 1}, "walled_garden: ["+lab.Server4+"/32, '"+lab.Server6+"/128']")
	uplink, err := s.kiosk.Router.Netlink().LinkByName(lab.WAN)
	must(t, err)
	must(t, s.kiosk.Router.Netlink().LinkSetMTU(uplink, 1400))
	for _, server := range []netip.Addr{server4, server6} {
		arrived, err := s.kiosk.Router.Count(lab.Egress, lab.WAN)
		must(t, err)
		upload, err := s.kiosk.Customers[0].Upload(netip.AddrPortFrom(server, bulkPort), 1)
		must(t, err)
		s.until("an upload to "+server.String(), func() bool {
			sent, err := arrived.Read()
			must(t, err)
			return sent.Bytes > enough
		})
		upload.Stop()
	}
}

// What is sent to a device says nothing of it: one that has left is paused by idle_timeout,
// although a sender on the internet continues and the neighbour entry is for ever.
func TestGoneCustomerIsPaused(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 2}, "idle_timeout: 3s")
	customer := s.kiosk.Customers[0]
	session := s.sell(0, "--type", "data", "--data", "100MB")
	out, err := s.kiosk.Router.Command("ip", "neigh", "replace", customer.Addr4.String(),
		"lladdr", customer.MAC.String(), "dev", lab.Bridge, "nud", "permanent").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	link, err := customer.Netlink().LinkByName(lab.Uplink)
	must(t, err)
	must(t, customer.Netlink().LinkSetDown(link))
	stop := s.blast(s.kiosk.Server, netip.AddrPortFrom(customer.Addr4, sinkPort), 1e6, 1000)
	defer stop()
	s.until("downloads to the device that left", func() bool { return s.used(session.ID) > 100_000 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.agent.WaitState(ctx, session.ID, "paused"); err != nil {
		t.Error(err)
	}
}
