// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"net/netip"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// What any device reaches before it pays is as the programs decide it.
func TestAdmits(t *testing.T) {
	cfg := config.Default()
	cfg.Interfaces = []string{"lo"}
	cfg.Portals = []dataplane.Portal{{Port: 80, Protocol: "tcp"}, {Addr: netip.MustParseAddr("192.0.2.1"), Port: 8443, Protocol: "tcp"}}
	for _, text := range []string{"203.0.113.0/24", "pay.test", "*.bank.test"} {
		entry, err := dataplane.ParseGardenEntry(text)
		check(t, err)
		cfg.Garden.Entries = append(cfg.Garden.Entries, entry)
	}
	p := PathOf(cfg)
	for _, c := range []struct {
		host, at string
		want     bool
	}{
		{"portal.test", "127.0.0.1:80", true}, // the router's own
		{"portal.test", "127.0.0.1:81", false},
		{"portal.test", "192.0.2.1:8443", true},
		{"portal.test", "192.0.2.1:80", false},
		{"any.test", "203.0.113.7:1", true},
		{"pay.test", "192.0.2.9:443", true},
		{"PAY.test", "192.0.2.9:443", true},
		{"pay.test", "192.0.2.9:22", false},
		{"pay.test", "10.0.0.9:443", false},
		{"pay.test", "100.64.0.9:443", false}, // shared (RFC 6598)
		{"pay.test", "[3fff:1::9]:443", true},
		{"pay.test", "[fec0::9]:443", false},
		{"www.bank.test", "192.0.2.9:443", true},
		{"notbank.test", "192.0.2.9:443", false},
		{"192.0.2.9", "192.0.2.9:443", false},
	} {
		if got := p.Admits(c.host, netip.MustParseAddrPort(c.at)); got != c.want {
			t.Errorf("%s at %s: %v, want %v", c.host, c.at, got, c.want)
		}
	}
	if len(p.DNS) == 0 || p.DNS[0] != netip.MustParseAddrPort("127.0.0.1:53") || len(p.Garden) != 1 || p.Garden[0] != "pay.test" {
		t.Errorf("DNS %v, garden %v", p.DNS, p.Garden)
	}
}
