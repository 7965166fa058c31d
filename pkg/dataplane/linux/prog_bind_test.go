// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

const boundDrop = bpf.HotspotReasonDROP_BOUND

// as is a packet between another IPv4 address with the client's MAC and the server.
func as(t testing.TB, dir int, address string) []byte {
	ip := ip4(dir, server4, protoUDP)
	if dir == bpf.Upload {
		ip.SrcIP = net.ParseIP(address)
	} else {
		ip.DstIP = net.ParseIP(address)
	}
	return build(t, l2(dir, etherIPv4), ip, udp(dir, 4000, 5000), blob(100))
}

// TestBound: of a client that is bound to an address, others with its MAC may do what
// any device may, and nothing of theirs is debited.
func TestBound(t *testing.T) {
	testbedBind = true
	defer func() { testbedBind = false }()
	b := newTestbed(t, false)
	free := ip4(bpf.Upload, router4, protoTCP)
	free.SrcIP = net.ParseIP(other4)
	discover := ip4(bpf.Upload, "255.255.255.255", protoUDP)
	discover.SrcIP = net.IPv4zero
	foreign := ip4(bpf.Upload, router4, protoUDP)
	foreign.SrcIP = net.ParseIP(other4)
	question := arp(1)
	question.SourceProtAddress = []byte{10, 0, 0, 51}
	tests := []struct {
		name           string
		dir            int
		frame          []byte
		bound, unbound bpf.HotspotReason
	}{
		{"its upload", bpf.Upload, packet4(t, bpf.Upload, 500), forwarded, forwarded},
		{"its download", bpf.Download, packet4(t, bpf.Download, 500), forwarded, forwarded},
		{"another's upload", bpf.Upload, as(t, bpf.Upload, other4), boundDrop, forwarded},
		{"another's download", bpf.Download, as(t, bpf.Download, other4), boundDrop, forwarded},
		{"another's in a VLAN", bpf.Upload, build(t, l2(bpf.Upload, etherVLAN), tag(5, etherIPv4), foreign, udp(bpf.Upload, 1, 2), blob(9)), boundDrop, local},
		{"another's to the router", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), foreign, udp(bpf.Upload, 1, 2), blob(9)), boundDrop, local},
		{"another's to the portal", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), free, tcp(bpf.Upload, 4000, 8080)), preauth, local},
		{"a request for a lease", bpf.Upload, build(t, ether(clientMAC, broadcastMAC, etherIPv4), discover, udp(bpf.Upload, 68, 67), blob(300)), preauth, local},
		{"another's renewal of its lease", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), foreign, udp(bpf.Upload, 68, 67), blob(300)), preauth, local},
		{"another's ARP", bpf.Upload, build(t, l2(bpf.Upload, etherARP), question), local, local},
		{"IPv6", bpf.Upload, build(t, l2(bpf.Upload, etherIPv6), ip6(bpf.Upload, server6, protoUDP), udp(bpf.Upload, 1, 2), blob(9)), forwarded, forwarded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			b.expect(test.dir, test.frame, test.unbound)
			spent := b.counted(7).Spent()
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Bound: [4]byte{10, 0, 0, 50}})
			b.expect(test.dir, test.frame, test.bound)
			if more := b.counted(7).Spent() - spent; (more != 0) != (test.bound == forwarded) {
				t.Errorf("%s, and %d bytes debited", bpf.ReasonLabels[test.bound], more)
			}
		})
	}
}

// TestBoundNotAsked: without the option a rule's address is not looked at.
func TestBoundNotAsked(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Bound: [4]byte{10, 0, 0, 50}})
	b.expect(bpf.Upload, as(t, bpf.Upload, "10.0.0.51"), forwarded)
}
