// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// script reads what is to be done from bytes, each a choice, so that a fuzzer that
// changes one changes one thing. After its end every choice is the first.
type script struct{ bytes []byte }

func (s *script) ended() bool { return len(s.bytes) == 0 }

func (s *script) next() byte {
	if s.ended() {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return b
}

func (s *script) below(n int) int { return int(s.next()) % n }

// rarely is true for one choice in n.
func (s *script) rarely(n int) bool { return s.below(n) == n-1 }

func pick[T any](s *script, from ...T) T { return from[s.below(len(from))] }

// ackOfAnswer and the two numbers behind it stand for the acknowledgement of the first byte
// of an answer, of its last, and of one more, which [model.acknowledge] enters.
const ackOfAnswer = uint32(0xACED_0000)

// step is a frame for one of the programs.
type step struct {
	dir   int
	frame []byte
	gso   int
	// Of an answer of the router's DNS about a name in the walled garden.
	opens netip.Addr
	ttl   uint32 // seconds
}

// step builds a frame from protocol headers, that follow each other as they should or as
// they should not, and then may spoil it.
func (s *script) step() step {
	st := step{dir: s.below(bpf.Directions)}
	client := pick(s, clientMAC, neighborMAC, strangerMAC, blockedMAC, routerMAC, dataplane.MAC{}, multicastMAC, broadcastMAC, linkMAC)
	peer := pick(s, routerMAC, broadcastMAC, multicastMAC, neighborMAC, clientMAC, dataplane.MAC{}, blockedMAC, linkMAC, beyondLinkMAC)
	from, to := ends(st.dir, client, peer)
	st.frame = append(append(st.frame, to[:]...), from[:]...)
	tags := pick(s, 0, 0, 0, 0, 0, 1, 2, 3)
	for range tags {
		st.frame = binary.BigEndian.AppendUint16(st.frame, pick[uint16](s, typeVLAN, typeQinQ))
		st.frame = binary.BigEndian.AppendUint16(st.frame, pick[uint16](s, 0, 5, 0xe001, 0xe000, uplinkVLAN, 0xa000|uplinkVLAN))
	}
	st.frame = append(st.frame, s.body(st.dir)...)
	switch s.below(8) {
	case 5:
		st.gso = pick(s, 1400, 100, 7, 1, 65535)
	case 6:
		s.spoil(st.frame)
	case 7:
		st.frame = s.stretch(st.frame)
	}
	return st
}

// namedStep is a sound frame between a device and an address that a name may have. Some are
// so long on the wire that one fills the bucket of a device.
func (s *script) namedStep() step {
	st := step{dir: s.below(bpf.Directions), gso: pick(s, 0, 1)}
	from, to := ends(st.dir, pick(s, strangerMAC, strangerMAC, clientMAC), routerMAC)
	source, destination := ends(st.dir, client4, pick(s, server4, server4, portal4, routerGarden4))
	sender, receiver := ends(st.dir, 40000, pick[uint16](s, 443, 443, 80, 22))
	content := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, sender), receiver)
	content = append(append(content, 0, 8, 0, 0), make([]byte, pick(s, 2900, 100))...)
	st.frame = append(append(st.frame, to[:]...), from[:]...)
	st.frame = append(st.frame, typeIPv4>>8, typeIPv4&0xff, 0x45, 0)
	st.frame = binary.BigEndian.AppendUint16(st.frame, uint16(20+len(content)))
	st.frame = append(st.frame, 0, 1, 0, 0, 64, nextUDP, 0, 0)
	st.frame = append(append(st.frame, netip.MustParseAddr(source).AsSlice()...), netip.MustParseAddr(destination).AsSlice()...)
	st.frame = append(st.frame, content...)
	return st
}

// spoil changes some bytes, mostly of the headers.
func (s *script) spoil(frame []byte) {
	for range 1 + s.below(4) {
		at := s.below(80)
		if at < len(frame) {
			frame[at] = s.next()
		}
	}
}

// stretch cuts a frame off, or makes it longer than its protocols say.
func (s *script) stretch(frame []byte) []byte {
	if s.rarely(3) {
		return append(frame, make([]byte, 1+s.next())...)
	}
	return frame[:max(14, len(frame)-int(s.next()))]
}

// body is the ethertype and all that follows.
func (s *script) body(dir int) []byte {
	switch s.below(9) {
	case 0, 1:
		return append(binary.BigEndian.AppendUint16(nil, typeIPv4), s.ipv4(dir, 2)...)
	case 2, 3:
		return append(binary.BigEndian.AppendUint16(nil, typeIPv6), s.ipv6(dir, 2)...)
	case 4:
		return append(binary.BigEndian.AppendUint16(nil, typeARP), s.arp()...)
	case 5:
		return append(binary.BigEndian.AppendUint16(nil, typeEAPOL), s.payload()...)
	case 6: // LLC/SNAP, by its length
		return append(append([]byte{0, 100}, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), s.ipv4(dir, 1)...)
	case 7: // MPLS, and PPPoE's session and discovery
		ethertype := pick[uint16](s, 0x8847, 0x8864, 0x8863)
		return append(append(binary.BigEndian.AppendUint16(nil, ethertype), 0x11, 0, 0, 1, 0, 102, 0, 33), s.ipv4(dir, 1)...)
	}
	return append([]byte{s.next(), s.next()}, s.payload()...)
}

func (s *script) payload() []byte { return make([]byte, pick(s, 40, 0, 1, 28, 300, 1472, 2900)) }

func (s *script) arp() []byte {
	p := []byte{0, pick[byte](s, 1, 1, 1, 6), 8, pick[byte](s, 0, 0, 0, 6), 6, 4, 0, byte(1 + s.below(4))}
	addresses := make([]byte, pick(s, 20, 38, 19, 56, 57, 200))
	copy(addresses[6:], netip.MustParseAddr(s.self4()).AsSlice())
	return append(p, addresses...)
}

// self4 is the address of a client's packet, which may be another's or none yet.
func (s *script) self4() string { return pick(s, client4, client4, other4, distant4, "0.0.0.0") }

// ipv4 is a packet, that may hold others as many deep.
func (s *script) ipv4(dir, deep int) []byte {
	options := make([]byte, pick(s, 0, 0, 0, 0, 0, 0, 4, 40))
	flags := pick[uint16](s, 0, 0x4000, 0, 0x4000, 0, 0x2000, 0x0009, 0x200b)
	protocol := pick[byte](s, nextUDP, nextTCP, nextUDP, nextTCP, 1, nextIPv4, nextIPv6, nextGRE, 50)
	peer := pick(s, router4, server4, portal4, garden4, "255.255.255.255", "224.0.0.251", "10.0.0.255", "0.0.0.0", routerGarden4)
	from, to := ends(dir, s.self4(), peer)
	content := s.content(dir, protocol, deep)
	p := []byte{0x45 + byte(len(options)/4), 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(options)+len(content)))
	p = binary.BigEndian.AppendUint16(p, flags)
	p = append(p, pick[byte](s, 64, 1, 255), protocol, 0, 0)
	p = append(append(p, netip.MustParseAddr(from).AsSlice()...), netip.MustParseAddr(to).AsSlice()...)
	return append(append(p, options...), content...)
}

// ipv6 is a packet with a chain of extension headers.
func (s *script) ipv6(dir, deep int) []byte {
	chain := make([]byte, pick(s, 0, 0, 0, 0, 1, 1, 2, 4))
	for i := range chain {
		chain[i] = pick[byte](s, nextHopByHop, nextRouting, nextOptions, nextFragment, 51, 135, 139)
	}
	protocol := pick[byte](s, nextUDP, nextTCP, nextICMPv6, nextICMPv6, nextUDP, nextTCP, nextIPv4, nextIPv6, 59)
	peer := pick(s, router6, routerLL, server6, portal6, garden6, "ff02::1:2", "ff02::1", "ff05::1:3", "fe80::77",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:192.0.2.77", "::192.0.2.77")
	self := pick(s, client6, client6, "fd00::51", "::", "::ffff:10.0.0.50")
	from, to := ends(dir, self, peer)
	content := s.content(dir, protocol, deep)
	headers, next := []byte(nil), slices.Concat(chain, []byte{protocol})
	for i := range chain {
		headers = append(headers, next[i+1], 0, 0, pick[byte](s, 0, 1, 8, 9), 0, 0, 0, 0)
	}
	p := []byte{0x60, 0, 0, 0, 0, 0, next[0], pick[byte](s, 255, 64, 254, 1)}
	length := len(headers) + len(content)
	binary.BigEndian.PutUint16(p[4:], uint16(pick(s, length, length, length, length, 0)))
	p = append(append(p, netip.MustParseAddr(from).AsSlice()...), netip.MustParseAddr(to).AsSlice()...)
	return append(append(p, headers...), content...)
}

func (s *script) content(dir int, protocol byte, deep int) []byte {
	port := pick[uint16](s, 53, 67, 547, 8080, 443, 22, 68, 80)
	client := pick[uint16](s, 40000, 68, 546, 53, 8080)
	source, destination := ends(dir, client, port)
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, source), destination)
	switch {
	case protocol == nextUDP:
		return append(append(ports, 0, 8, 0, 0), s.payload()...)
	case protocol == nextTCP:
		flags := pick[byte](s, 0x10, 0x18, 0x02, 0x11, 0x12, 0x04, 0x01, 0x03, 0x00)
		number := pick(s, 1, ackOfAnswer, ackOfAnswer+1, ackOfAnswer+2)
		ports = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(ports, 0xffff_ff00), number)
		return append(append(ports, pick[byte](s, 0x50, 0x50, 0x60, 0x40), flags, 1, 0, 0, 0, 0, 0), s.payload()...)
	case protocol == nextICMPv6:
		if deep > 0 && s.rarely(3) {
			return s.icmpError(byte(s.below(6)), s.ipv6(s.back(dir), deep-1))
		}
		return append([]byte{byte(128 + s.below(16)), 0, 0, 0}, s.payload()...)
	case protocol == nextICMP && deep > 0:
		return s.icmpError(pick[byte](s, 3, 11, 12, 3, 5, 8), s.ipv4(s.back(dir), deep-1))
	case protocol == nextIPv4 && deep > 0:
		return s.ipv4(dir, deep-1)
	case protocol == nextIPv6 && deep > 0:
		return s.ipv6(dir, deep-1)
	case protocol == nextGRE && deep > 0:
		return s.gre(dir, deep)
	}
	return s.payload()
}

// back is the direction of what an error is about.
func (s *script) back(dir int) int {
	if s.rarely(8) {
		return dir
	}
	return 1 - dir
}

// icmpError quotes a packet, mostly cut off.
func (s *script) icmpError(kind byte, quoted []byte) []byte {
	most := pick(s, 28, 48, 548, 1232, 0, 19, 20, 39, 40, 3000)
	return append([]byte{kind, pick[byte](s, 0, 4), 0, 0, 0, 0, 5, 0xdc}, quoted[:min(most, len(quoted))]...)
}

func (s *script) gre(dir, deep int) []byte {
	header := []byte{pick[byte](s, 0, 0, 0x20, 0x80, 0xb0), 0, 8, 0}
	if s.rarely(4) {
		header[2], header[3] = 0x86, 0xdd
	}
	for _, flag := range []byte{0x80, 0x20, 0x10} {
		if header[0]&flag != 0 {
			header = append(header, 0, 0, 0, 0)
		}
	}
	if header[2] == 8 {
		return append(header, s.ipv4(dir, deep-1)...)
	}
	return append(header, s.ipv6(dir, deep-1)...)
}
