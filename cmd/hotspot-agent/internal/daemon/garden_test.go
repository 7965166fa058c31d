// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// TestGardenTest: what is open, by what, and why not.
func TestGardenTest(t *testing.T) {
	garden := dataplane.GardenStatus{
		Garden: dataplane.Garden{Ports: []uint16{443}, Entries: []dataplane.GardenEntry{
			{Network: netip.MustParsePrefix("10.1.0.0/16")}, {Name: "pay.example"}, {Name: "*.bank.example"},
		}},
		Addresses: []dataplane.GardenAddress{{Addr: netip.MustParseAddr("203.0.113.2"), For: 1500 * time.Millisecond}},
	}
	resolved := map[string][]netip.Addr{}
	for name, list := range map[string][]string{
		"pay.example.":      {"203.0.113.2", "2001:db8::2", "192.168.1.9", "10.1.2.3"},
		"www.bank.example.": {"::ffff:203.0.113.2"}, "other.example.": {"203.0.113.9"},
	} {
		for _, a := range list {
			resolved[name] = append(resolved[name], netip.MustParseAddr(a))
		}
	}
	resolve := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if addrs := resolved[host]; addrs != nil {
			return addrs, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for name, want := range map[dataplane.GardenName]struct {
		entry string
		lines []string
	}{
		"pay.example": {"pay.example", []string{"203.0.113.2 true 2 the router's DNS answered", "2001:db8::2 false 0 no device has asked", "192.168.1.9 false 0 a name opens no address that is private",
			"10.1.2.3 true 0 it is in the network 10.1.0.0/16"}},
		"www.bank.example": {"*.bank.example", []string{"203.0.113.2 true 2 the router's DNS answered"}},
		"bank.example":     {"*.bank.example", []string{"no such host"}},
		"notbank.example":  {"", []string{"no such host"}},
		"other.example":    {"", []string{"203.0.113.9 false 0 the name is not in walled_garden"}},
	} {
		test := testGarden(t.Context(), garden, name, resolve)
		if test.Entry != want.entry || test.Matches != (want.entry != "") || test.Name != string(name) {
			t.Errorf("%s: %+v", name, test)
		}
		var lines []string
		for _, a := range test.Addresses {
			open := map[bool]string{true: "true", false: "false"}[a.Open]
			lines = append(lines, strings.Join([]string{a.Address, open, string(rune('0' + a.RemainingSecs)), a.Why}, " "))
		}
		if test.ResolveError != "" {
			lines = append(lines, test.ResolveError)
		}
		if len(lines) != len(want.lines) {
			t.Errorf("%s: %q, want %q", name, lines, want.lines)
			continue
		}
		for i := range lines {
			if !strings.HasPrefix(lines[i], want.lines[i]) {
				t.Errorf("%s: %q, want %q", name, lines[i], want.lines[i])
			}
		}
	}
}

// TestGardenTestRefuses: what is no name of a host.
func TestGardenTestRefuses(t *testing.T) {
	s, _, _ := newService(t)
	for _, name := range []string{"*.bank.example", "", "a..b", "10.0.0.1", strings.Repeat("a", 64) + ".example"} {
		if _, err := s.TestGarden(t.Context(), name); sessions.CodeOf(err) != sessions.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if garden, err := s.Garden(t.Context()); err != nil || garden.MaxAddresses != 10_000 {
		t.Errorf("%+v, %v", garden, err)
	}
}
