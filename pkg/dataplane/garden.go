// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// Garden is what any device may reach before paying, beside the portal: the walled garden.
type Garden struct {
	// Entries are networks, which are open as they are, and names.
	Entries []GardenEntry
	// Ports of TCP and UDP are open at an address that a name has: others may have services
	// there as well.
	Ports []uint16
	// SpeedBPS is the speed of a device to and from these addresses, both directions
	// together, in bit/s; 0 for no limit.
	SpeedBPS uint64
}

// GardenEntry is either a network or a name.
type GardenEntry struct {
	Network netip.Prefix
	Name    GardenName
}

// GardenName is a name in ASCII and lower case: "pay.example", or "*.bank.example" for
// bank.example and all names below it.
type GardenName string

// MaxGardenPorts bounds Garden.Ports.
const MaxGardenPorts = 8

// below begins a name that stands for all names below it.
const below = "*."

// gardenNames is the profile of names that are looked up (UTS 46), no stricter than DNS is
// with hyphens.
var gardenNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.CheckHyphens(false))

// ParseGardenEntry reads an address, a network or a name. The error names the text.
func ParseGardenEntry(s string) (GardenEntry, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return GardenEntry{Network: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	if strings.ContainsAny(s, "/:") {
		network, err := parseGardenNetwork(s)
		return GardenEntry{Network: network}, err
	}
	name, err := ParseGardenName(s)
	return GardenEntry{Name: name}, err
}

func parseGardenNetwork(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%q is neither a network nor a name: want a CIDR, like 203.0.113.0/24 or 2001:db8::/32, or a name, like pay.example or *.bank.example", s)
	case prefix.Masked() != prefix:
		return prefix, fmt.Errorf("%q has bits beyond its length: did you mean %s?", s, prefix.Masked())
	case prefix.Bits() == 0:
		return prefix, fmt.Errorf("%q would open the whole internet before paying", s)
	}
	return prefix, nil
}

// ParseGardenName reads a name, international ones too. The error names the text.
func ParseGardenName(s string) (GardenName, error) {
	text, isBelow := strings.CutPrefix(s, below)
	name, err := gardenNames.ToASCII(strings.TrimSuffix(text, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case err != nil || strings.Contains(name, "*"):
		return "", fmt.Errorf("%q is not a name: want one like pay.example, or *.bank.example for all names below it", s)
	case last == "" || strings.Trim(last, "0123456789") == "":
		return "", fmt.Errorf("%q is neither an address nor a name", s)
	case isBelow && last == name:
		return "", fmt.Errorf("%q would open every name below a top-level domain", s)
	case isBelow:
		return GardenName(below + name), nil
	}
	return GardenName(name), nil
}

// Below returns the name without the asterisk, and whether it had one.
func (n GardenName) Below() (name string, ok bool) { return strings.CutPrefix(string(n), below) }

// Matches reports whether a name of the same form, without an asterisk, is this one or, where
// it has an asterisk, below it.
func (n GardenName) Matches(name GardenName) bool {
	own, isBelow := n.Below()
	return string(name) == own || isBelow && strings.HasSuffix(string(name), "."+own)
}

// String is the text of the configuration.
func (e GardenEntry) String() string {
	if e.Name != "" {
		return string(e.Name)
	}
	return e.Network.String()
}

// Networks are the entries that are no names.
func (g Garden) Networks() (list []netip.Prefix) {
	for _, e := range g.Entries {
		if e.Name == "" {
			list = append(list, e.Network)
		}
	}
	return list
}

// Names are the entries that are names.
func (g Garden) Names() (list []GardenName) {
	for _, e := range g.Entries {
		if e.Name != "" {
			list = append(list, e.Name)
		}
	}
	return list
}

// Check returns an error that names field and value.
func (g Garden) Check() error {
	for _, e := range g.Entries {
		if e.Name == "" && !e.Network.IsValid() {
			return fmt.Errorf("walled_garden: %q is not a network", e.Network)
		}
		if parsed, err := ParseGardenName(string(e.Name)); e.Name != "" && (err != nil || parsed != e.Name) {
			return fmt.Errorf("walled_garden: %q is not a name in ASCII and lower case", string(e.Name))
		}
	}
	if len(g.Ports) > MaxGardenPorts {
		return fmt.Errorf("walled_garden_ports: %d ports, at most %d", len(g.Ports), MaxGardenPorts)
	}
	if slices.Contains(g.Ports, 0) {
		return fmt.Errorf("walled_garden_ports: port 0: want 1 to 65535")
	}
	if len(g.Names()) > 0 && len(g.Ports) == 0 {
		return fmt.Errorf("walled_garden_ports: none, and walled_garden has the name %s: want the ports that are open at its addresses, like [443, 80]", g.Names()[0])
	}
	if g.SpeedBPS != 0 && (g.SpeedBPS < MinBPS || g.SpeedBPS > MaxBPS) {
		return fmt.Errorf("walled_garden_speed: %d bit/s: want 0 for no limit, or %d to %d", g.SpeedBPS, MinBPS, MaxBPS)
	}
	return nil
}

// GardenStatus is the walled garden as the kernel has it.
type GardenStatus struct {
	Garden
	Addresses    []GardenAddress // that names have, open now
	MaxAddresses int
	Counts       GardenCounts
}

// GardenAddress is an address that a name in the walled garden has.
type GardenAddress struct {
	Addr netip.Addr
	For  time.Duration // is left until it is closed, if it is not used and not named again
	Last time.Duration // since the last DNS answer with it
}

// GardenCounts are since the maps were made.
type GardenCounts struct {
	Answers   uint64 // of the router's DNS, about names in the walled garden
	Addresses uint64 // in these answers, and opened
	Refused   uint64 // in these answers, and private or the router's own
	Partial   uint64 // answers of which a part could not be read
}

// specialNetworks are not of the internet (RFC 6890).
var specialNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
}

// GardenOpens reports whether a name opens an address: one of the internet, IPv6 of 2000::/3
// and NAT64 (RFC 6052) among them. Of the router's own addresses the kernel knows.
func GardenOpens(a netip.Addr) bool {
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a = a.Unmap(); a.Is4() {
		return !slices.ContainsFunc(specialNetworks, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return netip.MustParsePrefix("2000::/3").Contains(a)
}
