// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// captiveModel is what devices that may not pass are answered.
type captiveModel struct {
	dataplane.Captive
	secret [2]uint64
}

// answered is what a frame became.
type answered struct {
	reason bpf.HotspotReason
	frame  []byte // nil: nothing
}

// answer is the model of captive.c, for a frame that was dropped for a reason.
func (m *model) answer(f *modelFrame, raw []byte, rule dataplane.Rule, why bpf.HotspotReason, now dataplane.Boottime) answered {
	silence := answered{reason: why}
	c := m.captive
	if c == nil || why != noRule && why != limitDrop && why != lateDrop {
		return silence
	}
	ended, open := m.ended(rule, m.lost[f.client], now)
	if open || f.ip == 0 || len(raw)-f.link != 14 || f.vlan.id != 0 || isGroup(f.to) || f.fragment || f.onward || !isHost(f.peer) || !isHost(f.self) {
		return silence
	}
	since := time.Duration(now - ended)
	quiet := ended != 0 && since < c.EndedQuiet
	switch {
	case f.dir == bpf.Download && f.protocol == nextTCP && ended != 0 && since < time.Minute:
		if s, ok := f.segment(); ok && !s.RST && !s.SYN && m.mayAnswer(f, now) {
			return answered{answerReset, f.reply(f.endOf(s))}
		}
	case f.dir == bpf.Download:
	case f.protocol == nextTCP:
		if s, ok := f.segment(); ok {
			if reason, reply := c.respond(f, s, quiet, ended != 0 && since < time.Minute, why); reply != nil && m.mayAnswer(f, now) {
				return answered{reason, f.reply(reply...)}
			}
		}
	case c.Unreachable && !quiet && f.bytes >= map[int]int{4: 56, 6: 96}[f.ip] && f.protocol != nextICMPv6 && f.protocol != 1:
		if may, reply := m.mayAnswer(f, now), f.unreachable(raw); may && reply != nil {
			return answered{answerUnreachable, f.reply(reply...)}
		}
	}
	return silence
}

// mayAnswer: all MACs together get as many answers as 512. An answer after ten minutes
// without one is news.
func (m *model) mayAnswer(f *modelFrame, now dataplane.Boottime) bool {
	const kind, ofNews = bpf.HotspotPreauthSpeedPREAUTH_ANSWERS, bpf.HotspotPreauthSpeedPREAUTH_NEWS
	last := m.limited[f.client][kind]
	if !m.admit(f, int(kind), answers, 1, 1, 512, now) {
		return false
	}
	if last == 0 || last.Add(10*time.Minute) <= now {
		var fits bool
		if m.allLimited[ofNews], fits = news.fill(m.allLimited[ofNews], 1, 1, 1, now); fits {
			m.events = append(m.events, dataplane.Event{Kind: dataplane.Answered, MAC: f.client})
		}
	}
	return true
}

// ended is when a client's session was over, as far as its rule says, and whether it is not.
func (m *model) ended(rule dataplane.Rule, lost bool, now dataplane.Boottime) (at dataplane.Boottime, open bool) {
	account := m.accounts[rule.Account]
	switch {
	case rule.Verdict != dataplane.Allow:
		return 0, false
	case rule.Deadline != 0 && rule.Deadline <= now:
		return rule.Deadline, false
	case lost:
		return 0, false
	}
	return account.LastSeen, account.closed != rule.LimitBytes
}

// isHost: an address of one host, and none of "this network" (RFC 1122, 3.2.1.3).
func isHost(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first < 224
	}
	return !a.IsMulticast()
}

// segment reads the TCP of a frame, when its header is whole.
func (f *modelFrame) segment() (*layers.TCP, bool) {
	t := f.transport
	if len(t) < 20 || t[12]>>4 < 5 || int(t[12]>>4)*4 > len(t) {
		return nil, false
	}
	s := &layers.TCP{
		SrcPort: layers.TCPPort(binary.BigEndian.Uint16(t)), DstPort: layers.TCPPort(binary.BigEndian.Uint16(t[2:])),
		Seq: binary.BigEndian.Uint32(t[4:]), Ack: binary.BigEndian.Uint32(t[8:]),
		FIN: t[13]&1 != 0, SYN: t[13]&2 != 0, RST: t[13]&4 != 0, ACK: t[13]&16 != 0,
	}
	s.Payload = t[int(t[12]>>4)*4:]
	return s, true
}

// respond is a server at every address that says one thing, and refuses the rest.
func (c *captiveModel) respond(f *modelFrame, s *layers.TCP, quiet, lately bool, why bpf.HotspotReason) (bpf.HotspotReason, []layer) {
	says, reason := []byte(nil), why
	switch {
	case s.DstPort == 80:
		says, reason = bpf.CaptivePage(c.Redirect), answerRedirect
	case s.DstPort == 443 && c.HTTPS == dataplane.HTTPSAlert && !quiet:
		says, reason = []byte{21, 3, 3, 0, 2, 2, 80}, answerTLSAlert
	}
	reply := &layers.TCP{SrcPort: s.DstPort, DstPort: s.SrcPort, Window: 65535}
	next := s.Seq + uint32(len(s.Payload))
	if s.FIN {
		next++
	}
	switch {
	case s.RST, s.SYN && (s.ACK || s.FIN), !s.SYN && !s.ACK, !s.SYN && !s.FIN && len(s.Payload) == 0 && !lately:
		return why, nil
	case s.SYN && says == nil && (quiet || c.HTTPS == dataplane.HTTPSDrop):
		return why, nil
	case s.SYN && says == nil:
		reply.RST, reply.ACK, reply.Ack, reply.Window = true, true, next+1, 0
		return answerReset, []layer{reply}
	case s.SYN:
		mss := []byte{1460 >> 8, 1460 & 0xff}
		if f.ip == 6 {
			mss = []byte{1440 >> 8, 1440 & 0xff}
		}
		reply.SYN, reply.ACK, reply.Seq, reply.Ack = true, true, c.cookie(f, s), s.Seq+1
		if t := f.transport; t[12]>>4 > 5 {
			reply.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: mss}}
		}
		return answerHandshake, []layer{reply}
	}
	first := c.cookie(f, s) + 1
	heard, most := s.Ack-first, uint32(len(says))
	if reason == answerRedirect {
		most = 480 // the length of the page may change in mid-connection
	}
	foreign := says == nil || heard > most+1
	switch {
	case !foreign && !s.FIN && len(s.Payload) == 0:
		return why, nil
	case foreign:
		reply.RST, reply.Seq, reply.Window = true, s.Ack, 0
		return answerReset, []layer{reply}
	}
	reply.ACK, reply.Ack, reply.Seq = true, next, first
	switch {
	case heard > 0:
		reply.Seq = s.Ack
	case len(s.Payload) == 0:
		reply.FIN = true
	default:
		reply.FIN, reply.PSH = true, true
		return reason, []layer{reply, gopacket.Payload(says)}
	}
	return answerHandshake, []layer{reply}
}

// cookie is the first sequence number of a connection.
func (c *captiveModel) cookie(f *modelFrame, s *layers.TCP) uint32 {
	mix := func(hash, word uint32) uint32 {
		hash = (hash ^ word) * 0x85ebca6b
		hash = (hash ^ hash>>13) * 0xc2b2ae35
		return hash ^ hash>>16
	}
	hash := uint32(c.secret[0])
	self, peer := f.self.As16(), f.peer.As16()
	for _, from := range [][16]byte{self, peer} {
		for i := 0; i < 16; i += 4 {
			hash = mix(hash, binary.NativeEndian.Uint32(from[i:]))
		}
	}
	network := func(port layers.TCPPort) uint32 {
		return uint32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, uint16(port))))
	}
	hash = mix(hash, network(s.SrcPort)<<16|network(s.DstPort))
	return mix(hash^uint32(bits.RotateLeft64(c.secret[0], 32)), uint32(c.secret[1]))
}

// endOf is a server's segment made the end of its connection.
func (f *modelFrame) endOf(s *layers.TCP) layer {
	return &layers.TCP{SrcPort: s.SrcPort, DstPort: s.DstPort, Seq: s.Seq, Ack: s.Ack, RST: true, ACK: true}
}

// unreachable is "communication administratively prohibited", with what it is about: RFC
// 1812 and RFC 4443. A frame without 8 bytes behind the header is not quoted.
func (f *modelFrame) unreachable(raw []byte) []layer {
	if f.ip == 4 {
		if len(raw) < 14+28 {
			return nil
		}
		return []layer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 13)}, gopacket.Payload(raw[14 : 14+28])}
	}
	if len(raw) < 14+48 {
		return nil
	}
	return []layer{&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(1, 1)}, gopacket.Payload(append(make([]byte, 4), raw[14:14+48]...))}
}

// reply is a frame from the peer to the client, as another implementation makes it.
func (f *modelFrame) reply(content ...layer) []byte {
	peerMAC, _ := ends(f.dir, f.to, f.from)
	if f.dir == bpf.Download {
		peerMAC = f.from
	}
	client := f.client
	var parts []layer
	var network gopacket.NetworkLayer
	link := &layers.Ethernet{SrcMAC: peerMAC[:], DstMAC: client[:], EthernetType: layers.EthernetTypeIPv4}
	next := map[string]layers.IPProtocol{"TCP": layers.IPProtocolTCP, "ICMPv4": layers.IPProtocolICMPv4, "ICMPv6": layers.IPProtocolICMPv6}[content[0].LayerType().String()]
	header := 20
	if f.ip == 4 {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: next, SrcIP: net.IP(f.peer.AsSlice()), DstIP: net.IP(f.self.AsSlice())}
		network, parts = ip, []layer{link, ip}
	} else {
		link.EthernetType, header = layers.EthernetTypeIPv6, 40
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: net.IP(f.peer.AsSlice()), DstIP: net.IP(f.self.AsSlice())}
		network, parts = ip, []layer{link, ip}
	}
	for _, l := range content {
		if sum, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			_ = sum.SetNetworkLayerForChecksum(network)
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(parts, content...)...); err != nil {
		panic(err) // a fault of the test
	}
	frame := buffer.Bytes()
	length := int(binary.BigEndian.Uint16(frame[16:]))
	if f.ip == 6 {
		length = header + int(binary.BigEndian.Uint16(frame[18:]))
	}
	return frame[:14+length] // without padding
}

// acknowledge enters the sequence numbers of the answers into a segment that has the
// placeholders for them.
func (m *model) acknowledge(s step) {
	if m.captive == nil || s.dir != bpf.Upload || len(s.frame) < 14 {
		return
	}
	d, read := dissect(s.frame, s.gso > 0)
	if read != readable || d.ip == 0 || d.protocol != nextTCP || len(d.transport) < 20 {
		return
	}
	f := modelFrame{dissection: d, dir: s.dir, self: d.source, peer: d.destination}
	placeholder := binary.BigEndian.Uint32(d.transport[8:]) - ackOfAnswer
	if placeholder > 2 {
		return
	}
	ports := &layers.TCP{SrcPort: layers.TCPPort(binary.BigEndian.Uint16(d.transport)), DstPort: layers.TCPPort(binary.BigEndian.Uint16(d.transport[2:]))}
	page := uint32(len(bpf.CaptivePage(m.captive.Redirect)))
	number := m.captive.cookie(&f, ports) + 1 + []uint32{0, page + 1, page + 2}[placeholder]
	binary.BigEndian.PutUint32(d.transport[8:], number)
}
