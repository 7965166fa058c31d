// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Target is where a rule sends packets in place of their destination.
type Target struct {
	Addr     netip.Addr // the zero Addr: the router itself
	Port     uint16     // 0: as it was
	Matched  uint16     // the port that the rule is about; 0: any
	Protocol uint8      // that the rule is about; 0: any
}

// Targets returns where rules may send packets of a family that come by an interface, in a
// stable order. Targets that depend on a map are left out.
func (r *Ruleset) Targets(p Packet) (list []Target, err error) {
	for _, c := range r.chains {
		if c.family != p.Family && c.family != familyInet {
			continue
		}
		for _, rules := range c.rules {
			e := evaluation{packet: p, registers: map[uint32][]byte{}, matches: yes, set: func(name string) ([]element, error) {
				return r.elements(setKey{c.family, c.table, name})
			}}
			if err := e.run(rules); err != nil {
				return nil, err
			}
			if t, is := rules.target(); is && e.matches != no {
				list = append(list, t)
			}
		}
	}
	slices.SortFunc(list, func(a, b Target) int {
		if by := a.Addr.Compare(b.Addr); by != 0 {
			return by
		}
		return int(a.Port) - int(b.Port)
	})
	return list, nil
}

// target follows what a rule compares ports and protocol with, and what it loads.
func (list rule) target() (t Target, is bool) {
	const metaKey, metaRegister, metaProtocol = 2, 1, 16
	const payloadRegister, payloadBase, payloadOffset, payloadLength, transport = 1, 2, 3, 4, 2
	const source, operation, data = 1, 2, 3
	const destination, value = 1, 2
	const natType, natDestination, natAddr, natPort, redirPort = 1, 1, 3, 5, 1
	const name, info = 1, 3
	loaded := map[uint32][]byte{}
	ports, protocols := map[uint32]bool{}, map[uint32]bool{}
	for _, x := range list {
		switch x.name {
		case "meta":
			protocols[number(x.data[metaRegister])] = number(x.data[metaKey]) == metaProtocol
		case "payload":
			at := number(x.data[payloadRegister])
			ports[at] = number(x.data[payloadBase]) == transport && number(x.data[payloadOffset]) == 2 && number(x.data[payloadLength]) == 2
			protocols[at] = false
		case "cmp":
			want, err := nested(x.data[data], dataValue)
			from := number(x.data[source])
			switch {
			case err != nil || number(x.data[operation]) != 0:
			case ports[from] && len(want) >= 2:
				t.Matched = binary.BigEndian.Uint16(want)
			case protocols[from] && len(want) >= 1:
				t.Protocol = want[0]
			}
		case "immediate":
			loaded[number(x.data[destination])], _ = nested(x.data[value], dataValue)
		case "nat":
			t.set(loaded[number(x.data[natAddr])], loaded[number(x.data[natPort])])
			return t, number(x.data[natType]) == natDestination
		case "redir":
			t.set(nil, loaded[number(x.data[redirPort])])
			return t, true
		case "match":
			t.match(text(x.data[name]), x.data[info])
		case "target":
			return t, t.xtables(x)
		}
	}
	return t, false
}

func (t *Target) set(addr, port []byte) {
	t.Addr, _ = netip.AddrFromSlice(addr)
	if len(port) >= 2 {
		t.Port = binary.BigEndian.Uint16(port)
	}
}

// match reads struct xt_tcp and xt_udp (linux/netfilter/xt_tcpudp.h): a range of source
// ports, then one of destination ports.
func (t *Target) match(name string, info []byte) {
	protocols := map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}
	protocol, is := protocols[name]
	if !is || len(info) < 8 {
		return
	}
	t.Protocol = protocol
	if first, last := binary.NativeEndian.Uint16(info[4:]), binary.NativeEndian.Uint16(info[6:]); first == last {
		t.Matched = first
	}
}

// xtables reads the target of a translation: struct nf_nat_ipv4_multi_range_compat of
// revision 0, and struct nf_nat_range of others (linux/netfilter/nf_nat.h).
func (t *Target) xtables(x expression) bool {
	const name, revision, info = 1, 2, 3
	const byAddr, byPort = 1, 2
	data := x.data[info]
	what := text(x.data[name])
	if what != "DNAT" && what != "REDIRECT" {
		return false
	}
	flags, addr, port := 4, 8, 16 // the count of ranges, which is 1, comes first
	if number(x.data[revision]) > 0 {
		flags, addr, port = 0, 4, 4+2*16
	}
	if len(data) < port+2 {
		return false
	}
	set := binary.NativeEndian.Uint32(data[flags:])
	if set&byAddr != 0 && what == "DNAT" {
		t.Addr = netip.AddrFrom4([4]byte(data[addr : addr+4]))
	}
	if set&byPort != 0 {
		t.Port = binary.BigEndian.Uint16(data[port:])
	}
	return true
}
