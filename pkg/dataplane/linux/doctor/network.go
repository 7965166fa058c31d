// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

func checkInterface(v *links.Snapshot, name string) Finding {
	check := "interface " + name
	l := v.ByName[name]
	if l == nil {
		return Finding{check, Warn, "does not exist (yet)", "correct `interfaces`, or let the system make it; the agent waits for it"}
	}
	if l.Attrs().EncapType != "ether" {
		return Finding{check, Fail, fmt.Sprintf("is no Ethernet interface (%s)", l.Attrs().EncapType), "name the interface that has the clients' MACs"}
	}
	f := Finding{check, OK, describe(v, l), ""}
	if l.Attrs().Flags&net.FlagUp == 0 {
		f.Level, f.Advice = Warn, "ip link set "+name+" up"
		f.Detail += ", down"
	}
	return f
}

func describe(v *links.Snapshot, l netlink.Link) string {
	if bridge := v.Bridge(l); bridge != nil {
		return "port of " + bridge.Attrs().Name + ": frames from or to the router are metered, bridged ones are not"
	}
	b, ok := l.(*netlink.Bridge)
	if !ok {
		return l.Type()
	}
	var ports []string
	for _, p := range v.PortsOf(l) {
		ports = append(ports, p.Attrs().Name)
	}
	slices.Sort(ports)
	text := "bridge of " + strings.Join(ports, ", ")
	if len(ports) == 0 {
		text = "bridge without ports"
	}
	if b.VlanFiltering != nil && *b.VlanFiltering {
		text += "; VLAN filtering is on: what reaches the router tagged, in a VLAN that it has no device for, is denied before paying"
	}
	return text
}

// checkOtherVLANs finds what an interface carries beside the customers' frames, and does
// not meter: VLAN devices that are not named.
func checkOtherVLANs(v *links.Snapshot, names []string, name string) []Finding {
	var others []string
	for _, vlan := range v.OtherVLANs(names) {
		if vlan.On.Attrs().Name == name {
			others = append(others, vlan.Name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []Finding{{"VLANs " + name, OK, strings.Join(others, ", ") + ": not named in `interfaces`, tagged frames of it pass unmetered",
		"where customers are behind one, name it in place of " + name}}
}

// checkGroupForwarding finds a bridge that carries link control between its ports.
func checkGroupForwarding(l netlink.Link) []Finding {
	b, ok := l.(*netlink.Bridge)
	if !ok || b.GroupFwdMask == nil || *b.GroupFwdMask == 0 {
		return nil
	}
	name := b.Attrs().Name
	return []Finding{{"link control " + name, Warn,
		fmt.Sprintf("group_fwd_mask is %#x: frames of link control, which pass unmetered, are forwarded between its ports", *b.GroupFwdMask),
		"ip link set " + name + " type bridge group_fwd_mask 0"}}
}

// checkAttached looks at the hooks of an interface.
func checkAttached(opts linux.Options, s *links.NetNS, v *links.Snapshot, name string) Finding {
	check := "programs " + name
	l := v.ByName[name]
	if l == nil {
		return Finding{check, Warn, "not attached: no interface", "ip link show " + name}
	}
	p := pins.Folder{Root: opts.BPFFS}
	progs := &attach.Programs{Folder: p, Config: opts.ProgramConfig()}
	ours, _ := progs.Adopt(bpf.VariantOf(v.Bridge(l) != nil))
	if ours != nil {
		defer ours.Close()
	}
	on, err := attach.Inspect(p, s, attach.Device{Name: name, Index: l.Attrs().Index})
	if err != nil {
		return Finding{check, Fail, err.Error(), "run as root"}
	}
	if copies := on.ForeignCopies(name); len(copies) > 0 {
		return Finding{check, Exposed, copies[0].Detail, "service hotspot-agent restart"}
	}
	for dir, hook := range attach.HookNames {
		own, ok := on[dir].Own()
		if !ok && ours == nil {
			return Finding{check, Exposed, "not attached: no agent ran since the start of the machine, or it was detached: the network is open", "service hotspot-agent start"}
		}
		if !ok {
			return Finding{check, Exposed, "nothing of ours on " + hook + ": traffic is not enforced", "service hotspot-agent restart"}
		}
		if ours == nil {
			return Finding{check, Warn, "another version's or limiter's programs are attached", "service hotspot-agent restart"}
		}
		if want, err := attach.ProgramID(ours[dir]); err != nil || want != own.ID {
			return Finding{check, Warn, fmt.Sprintf("%s runs program %d, not this version's", hook, own.ID), "service hotspot-agent restart"}
		}
	}
	if front := on.InFront(); front != "" {
		return Finding{check, Exposed, front, "service hotspot-agent start"}
	}
	return Finding{check, OK, "this version's, on ingress and egress", ""}
}

// checkFlowtables judges nft's flow offload: packets of established connections
// skip the bridge, but pass the hooks of its ports; in hardware they skip both.
func checkFlowtables(s *links.NetNS, v *links.Snapshot, named []string) Finding {
	const check = "flow offload"
	tables, err := listFlowtables(s)
	if err != nil {
		return Finding{check, Warn, "not readable: " + err.Error(), "see `nft list flowtables`"}
	}
	if len(tables) == 0 {
		return Finding{check, OK, "no nft flowtable", ""}
	}
	for _, t := range tables {
		if t.hardware {
			return Finding{check, Fail, t.String() + " offloads to hardware: what it forwards is neither counted nor stopped",
				"turn hardware flow offloading off (OpenWrt: uci set firewall.@defaults[0].flow_offloading_hw=0)"}
		}
	}
	for _, name := range named {
		if l := v.ByName[name]; l != nil && l.Type() == "bridge" {
			return Finding{check, Fail, tables[0].String() + " lets established connections skip " + name,
				"turn flow offloading off (OpenWrt: uci set firewall.@defaults[0].flow_offloading=0), or name the ports of " + name + " in its place"}
		}
	}
	return Finding{check, OK, tables[0].String() + ": its packets pass the hooks of these interfaces", ""}
}

// checkHardware finds interfaces whose hardware may forward by itself.
func checkHardware(s *links.NetNS, v *links.Snapshot, named []string) []Finding {
	var found []Finding
	for _, l := range v.ClientLinks(named) {
		for _, dev := range append(v.PortsOf(l), l) {
			name := dev.Attrs().Name
			var on bool
			err := s.Run(func() (err error) {
				on, err = hasFeature(name, "hw-tc-offload")
				return err
			})
			if err == nil && on {
				found = append(found, Finding{"hardware " + name, Warn, "hw-tc-offload is on: rules in the hardware would bypass the programs",
					"ethtool -K " + name + " hw-tc-offload off"})
			}
		}
	}
	return found
}
