// SPDX-License-Identifier: Apache-2.0

package links

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// snapshotOf reads lines "name kind [on=PARENT] [in=MASTER] [elsewhere]".
func snapshotOf(lines ...string) *Snapshot {
	v := &Snapshot{ByName: map[string]netlink.Link{}, ByIndex: map[int]netlink.Link{}}
	for i, line := range lines {
		words := strings.Fields(line)
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Index = words[0], i+1
		l := &netlink.GenericLink{LinkAttrs: attrs, LinkType: words[1]}
		v.ByName[attrs.Name], v.ByIndex[attrs.Index] = l, l
	}
	for _, line := range lines {
		words := strings.Fields(line)
		a := v.ByName[words[0]].Attrs()
		for _, word := range words[2:] {
			switch kind, of, _ := strings.Cut(word, "="); kind {
			case "on":
				a.ParentIndex = v.ByName[of].Attrs().Index
			case "in":
				a.MasterIndex = v.ByName[of].Attrs().Index
			case "elsewhere":
				a.NetNsID = 0
			}
		}
	}
	return v
}

// The kind: of two named interfaces one carries the frames of the other, so that both hooks
// see them and debit twice: VLAN and parent, bridge and port, bond and slave, macvlan and
// parent, bridge and the VLAN device on it, and through any number of interfaces between.
func TestStacks(t *testing.T) {
	for name, c := range map[string]struct {
		links []string
		named string
		want  []Stack
	}{
		"apart":                 {[]string{"eth0 device", "eth1 device"}, "eth0 eth1", nil},
		"one alone":             {[]string{"eth0 device", "eth0.20 vlan on=eth0"}, "eth0", nil},
		"not there":             {[]string{"eth0 device"}, "eth0 eth0.20", nil},
		"vlan":                  {[]string{"eth0 device", "eth0.20 vlan on=eth0"}, "eth0.20 eth0", []Stack{{"eth0", "eth0.20", "eth0.20"}}},
		"vlan of a vlan":        {[]string{"eth0 device", "a vlan on=eth0", "b vlan on=a"}, "eth0 b", []Stack{{"eth0", "b", "b"}}},
		"two vlans":             {[]string{"eth0 device", "a vlan on=eth0", "b vlan on=eth0"}, "a b", nil},
		"macvlan":               {[]string{"eth0 device", "m macvlan on=eth0"}, "eth0 m", []Stack{{"eth0", "m", "m"}}},
		"ipvlan":                {[]string{"eth0 device", "m ipvlan on=eth0"}, "eth0 m", []Stack{{"eth0", "m", "m"}}},
		"port of a switch":      {[]string{"eth0 device", "lan1 dsa on=eth0"}, "eth0 lan1", []Stack{{"eth0", "lan1", "lan1"}}},
		"port":                  {[]string{"br bridge", "lan1 veth in=br"}, "br lan1", []Stack{{"lan1", "br", "lan1"}}},
		"two ports":             {[]string{"br bridge", "lan1 veth in=br", "lan2 veth in=br"}, "lan1 lan2", nil},
		"slave":                 {[]string{"bond0 bond", "eth0 device in=bond0"}, "eth0 bond0", []Stack{{"eth0", "bond0", "eth0"}}},
		"slave of a port":       {[]string{"br bridge", "bond0 bond in=br", "eth0 device in=bond0"}, "br eth0", []Stack{{"eth0", "br", "eth0"}}},
		"vlan of a bridge":      {[]string{"br bridge", "br.20 vlan on=br"}, "br br.20", []Stack{{"br", "br.20", "br.20"}}},
		"port and that":         {[]string{"br bridge", "br.20 vlan on=br", "lan1 veth in=br"}, "lan1 br.20", []Stack{{"lan1", "br.20", ""}}},
		"vlan as a port":        {[]string{"br bridge", "eth0 device", "eth0.20 vlan on=eth0 in=br"}, "eth0 br", []Stack{{"eth0", "br", ""}}},
		"all of one":            {[]string{"br bridge", "br.20 vlan on=br", "lan1 veth in=br"}, "br br.20 lan1", []Stack{{"lan1", "br", "lan1"}, {"br", "br.20", "br.20"}, {"lan1", "br.20", ""}}},
		"both ends of a pair":   {[]string{"a veth", "b veth on=a"}, "a b", nil},
		"tunnel":                {[]string{"eth0 device", "v vxlan on=eth0"}, "eth0 v", nil},
		"vrf":                   {[]string{"red vrf", "eth0 device in=red"}, "eth0 red", nil},
		"parent of another ns":  {[]string{"eth0 device", "m macvlan on=eth0 elsewhere"}, "eth0 m", nil},
		"read while it changes": {[]string{"a vlan on=b", "b vlan on=a", "c device"}, "c a", nil},
	} {
		// "b vlan on=a" names what comes later: links are made before their attributes.
		got := snapshotOf(c.links...).Stacks(strings.Fields(c.named))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
