// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// model is the rules of the programs in plain Go, to be read as their specification:
// what becomes of a frame, why, and what is counted. No client has a speed.
type model struct {
	world
	rules    map[dataplane.MAC]dataplane.Rule
	lost     map[dataplane.MAC]bool // the rule's account is not there
	accounts map[dataplane.Account]modelAccount
	limited  map[dataplane.MAC]modelBuckets       // of what has a speed before paying
	lookups  map[dataplane.MAC]dataplane.Boottime // when the bucket of a connected client's free DNS is empty
	events   []dataplane.Event

	allLimited modelBuckets // the same for all MACs together

	captive *captiveModel // nil: what may not pass gets silence
	names   *gardenModel  // nil: no name is in the walled garden
}

// modelBuckets say when each is empty.
type modelBuckets [bpf.PreauthSpeeds]dataplane.Boottime

// world is what the operator and the router's interfaces say.
type world struct {
	port       bool // the programs are on a bridge's port
	bind       bool // rules hold for one IPv4 address
	routerMACs []dataplane.MAC
	macsFull   bool   // there are more
	vlans      []vlan // of the router, not client-facing
	router     []netip.Addr
	portals    []dataplane.Portal // with the zero Addr: on the router
	garden     []netip.Prefix
}

// modelAccount is what is counted for an account, and which ends it met.
type modelAccount struct {
	dataplane.Counters
	closed        uint64 // the limit that was met
	endedLimit    uint64 // 1 + the limit of whose end had its event
	endedDeadline dataplane.Boottime
}

// clone is for asking what would be.
func (m *model) clone() *model {
	c := *m
	c.accounts, c.events = maps.Clone(m.accounts), slices.Clip(m.events)
	c.limited, c.lookups = maps.Clone(m.limited), maps.Clone(m.lookups)
	c.names = m.names.clone()
	return &c
}

// modelFrame is a frame between a client and its peer.
type modelFrame struct {
	dissection
	dir      int
	client   dataplane.MAC
	self     netip.Addr // the client's, of IP
	peer     netip.Addr
	router   bool // the peer is the router
	bytes    int  // on the wire
	first    int  // of the first segment
	segments int
}

// judge says what becomes of a frame now, and counts it.
func (m *model) judge(dir int, raw []byte, gso int, now dataplane.Boottime) outcome {
	d, read := dissect(raw, gso > 0)
	client, peer := ends(dir, d.from, d.to)
	rule, whole := m.rules[client], uint64(d.link)
	switch {
	case read == badLink:
		return outcome{Reason: malformed, Wire: whole}
	case slices.Contains(m.vlans, d.vlan):
		return outcome{Reason: otherVLAN, Wire: whole}
	case isLinkControl(d.to) && !d.network3():
		return outcome{Reason: linkControl, Wire: whole}
	case m.between(dir, &d, peer):
		// Between stations, and none of our business, unless one claims to be the router.
		if dir == bpf.Upload && slices.Contains(m.routerMACs, client) {
			return outcome{Reason: malformed, Wire: whole}
		}
		return outcome{Reason: bridged, Wire: whole}
	case rule.Verdict == dataplane.Block:
		return outcome{Reason: blocked, Wire: whole}
	case read == badNetworking:
		return outcome{Reason: malformed, Wire: whole}
	}
	f := modelFrame{dissection: d, dir: dir, client: client}
	f.self, f.peer = ends(dir, d.source, d.destination)
	f.router = d.ip != 0 && slices.Contains(m.router, f.peer)
	f.bytes, f.first, f.segments = d.onWire(gso)
	why := m.decide(&f, rule, now)
	a := answered{reason: m.byName(&f, why, now)}
	if a.reason == why {
		a = m.answer(&f, raw, rule, why, now)
	}
	return outcome{a.reason, uint64(f.bytes), string(a.frame)}
}

// between is of a port's frame that neither comes from the router nor is for it. A frame to
// a group is for the router too, where it comes in.
func (m *model) between(dir int, d *dissection, peer dataplane.MAC) bool {
	if !m.port || m.macsFull || (dir == bpf.Upload && isGroup(d.to)) {
		return false
	}
	return !slices.Contains(m.routerMACs, peer)
}

// network3 is what the router's network layer might take, whichever station it is to: IP, a
// session with IP in it, or what has too many tags to say.
func (d *dissection) network3() bool {
	return slices.Contains([]uint16{typeIPv4, typeIPv6, typeSession, typeVLAN, typeQinQ}, d.ethertype)
}

// decide is about frames that the network can read.
func (m *model) decide(f *modelFrame, rule dataplane.Rule, now dataplane.Boottime) bpf.HotspotReason {
	switch {
	case f.dir == bpf.Download && isGroup(f.to):
		if f.openToAll() {
			return preauth
		}
		return noRule
	case rule.Verdict != dataplane.Allow:
		return m.before(f, now, noRule)
	case m.bind && f.elsewhere(rule):
		return m.before(f, now, boundDrop)
	case m.lost[f.client]:
		return m.before(f, now, noAccount)
	}
	a := m.accounts[rule.Account]
	defer func() { m.accounts[rule.Account] = a }()
	reason, ended := m.charge(&a, f, rule, now)
	if !ended {
		return reason
	}
	why := reason
	if reason = m.before(f, now, why); reason == preauth {
		a.see(f, now)
	} else if why == lateDrop {
		a.DeadlineDrops++
	} else {
		a.LimitDrops++
	}
	m.notify(&a, f.client, rule, why)
	return reason
}

// charge decides about a connected client's frame. Ended says that nothing more passes
// under the rule.
func (m *model) charge(a *modelAccount, f *modelFrame, rule dataplane.Rule, now dataplane.Boottime) (reason bpf.HotspotReason, ended bool) {
	spent := a.Spent()
	switch {
	case rule.Deadline != 0 && now >= rule.Deadline:
		return lateDrop, true
	case a.closed == rule.LimitBytes:
		return limitDrop, true
	case f.local() && (!f.mayBeDNS() || m.freeLookup(f, now)):
		a.see(f, now)
		return local, false
	case spent+uint64(f.bytes) <= rule.LimitBytes:
		a.see(f, now)
		a.count(f)
		return forwarded, false
	case spent+uint64(f.first) <= rule.LimitBytes:
		return limitDrop, false // its sender comes back with a shorter one
	}
	a.closed = rule.LimitBytes
	return limitDrop, true
}

// see notes what a device sends. What is sent to it says nothing of it.
func (a *modelAccount) see(f *modelFrame, now dataplane.Boottime) {
	if f.dir == bpf.Upload {
		a.LastSeen = now
	}
}

func (a *modelAccount) count(f *modelFrame) {
	if f.dir == bpf.Upload {
		a.UpBytes, a.UpPackets = a.UpBytes+uint64(f.bytes), a.UpPackets+uint64(f.segments)
	} else {
		a.DownBytes, a.DownPackets = a.DownBytes+uint64(f.bytes), a.DownPackets+uint64(f.segments)
	}
}

// notify adds one event for each end.
func (m *model) notify(a *modelAccount, client dataplane.MAC, rule dataplane.Rule, why bpf.HotspotReason) {
	switch {
	case why == lateDrop && a.endedDeadline != rule.Deadline:
		a.endedDeadline = rule.Deadline
		m.events = append(m.events, dataplane.Event{Kind: dataplane.DeadlinePassed, MAC: client, Account: rule.Account})
	case why == limitDrop && a.endedLimit != rule.LimitBytes+1:
		a.endedLimit = rule.LimitBytes + 1
		m.events = append(m.events, dataplane.Event{Kind: dataplane.Exhausted, MAC: client, Account: rule.Account})
	}
}

// elsewhere is of another IPv4 address than the client is bound to.
func (f *modelFrame) elsewhere(rule dataplane.Rule) bool {
	return rule.Bound != [4]byte{} && f.ip == 4 && f.self != netip.AddrFrom4(rule.Bound)
}

// local is what a connected client has for nothing: what the router does not forward.
func (f *modelFrame) local() bool {
	return isGroup(f.to) || f.ethertype == typeARP || f.ethertype == typeEAPOL || (f.router && !f.onward)
}

// before is what a device may do before it pays; else it is dropped for the reason given.
func (m *model) before(f *modelFrame, now dataplane.Boottime, otherwise bpf.HotspotReason) bpf.HotspotReason {
	switch {
	case f.vlan.id != 0:
		return otherwise
	case f.linkProtocol() || m.inGarden(f):
		return preauth
	case f.ip == 0 || f.fragment || f.onward:
		return otherwise
	case f.isDNS() && f.router:
		return m.limit(f, bpf.PreauthDNS, now)
	case f.isError() && m.aboutOpen(f):
		return m.limit(f, bpf.PreauthErrors, now)
	case f.isDiscovery() || f.isDHCP() || m.isPortal(f):
		return preauth
	}
	return otherwise
}

// openToAll is what may go to all clients at once: of the link, or of the router.
func (f *modelFrame) openToAll() bool {
	if f.vlan.id != 0 || f.ethertype == typeARP {
		return f.linkProtocol() && f.vlan.id == 0
	}
	return f.router || f.linkProtocol() || (f.ip == 6 && !f.fragment && !f.onward && f.isDiscovery())
}

// linkProtocol is EAPOL and ARP for Ethernet and IPv4: requests and replies, of 28 bytes
// and the padding of a frame that once was longer by its tags.
func (f *modelFrame) linkProtocol() bool {
	if f.ethertype == typeEAPOL {
		return true
	}
	if f.ethertype != typeARP || len(f.network) < 28 || len(f.network) > 64 {
		return false
	}
	operation := binary.BigEndian.Uint16(f.network[6:])
	return [6]byte(f.network) == [6]byte{0, 1, 8, 0, 6, 4} && (operation == 1 || operation == 2)
}

// inGarden is all that is between a client and the walled garden; but the router, where
// it is in there, is not to send it onward.
func (m *model) inGarden(f *modelFrame) bool {
	return f.ip != 0 && (!f.router || !f.onward) && m.isGarden(f.peer)
}

func (m *model) isGarden(a netip.Addr) bool {
	return slices.ContainsFunc(m.garden, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isDiscovery is RFC 4861: neighbour discovery on this link. Clients do not advertise routers,
// and speak to the router or to groups of the link.
func (f *modelFrame) isDiscovery() bool {
	if f.ip != 6 || f.protocol != nextICMPv6 || f.hops != 255 || len(f.transport) < 1 {
		return false
	}
	kind := f.transport[0]
	if f.dir == bpf.Download {
		return kind >= 134 && kind <= 137
	}
	to := f.destination.As16()
	return (kind == 133 || kind == 135 || kind == 136) && (f.router || (to[0] == 0xff && to[1] == 2))
}

// servicePorts are the client's port and the peer's.
func (f *modelFrame) servicePorts() (client, peer uint16, ok bool) {
	source, destination, ok := f.ports()
	client, peer = ends(f.dir, source, destination)
	return client, peer, ok
}

func (f *modelFrame) isDNS() bool {
	_, port, ok := f.servicePorts()
	return ok && port == 53
}

// mayBeDNS is DNS with the router, in the clear or by TLS or QUIC; and fragments, of which
// only the first would say.
func (f *modelFrame) mayBeDNS() bool {
	_, port, ok := f.servicePorts()
	return f.router && (f.fragment || (ok && (port == 53 || port == 853)))
}

// isError is an error of RFC 792 or RFC 4443, no longer than they may be.
func (f *modelFrame) isError() bool {
	if len(f.transport) < 1 {
		return false
	}
	kind := f.transport[0]
	if f.ip == 4 {
		return f.protocol == nextICMP && f.bytes <= 576 && (kind == 3 || kind == 11 || kind == 12)
	}
	return f.protocol == nextICMPv6 && f.bytes <= 1280 && kind >= 1 && kind <= 4
}

// aboutOpen is of an error to the client about a packet that the client sent on a flow that
// is open before paying.
func (m *model) aboutOpen(f *modelFrame) bool {
	d, ok := f.quoted()
	if !ok || f.dir != bpf.Download || d.source != f.destination {
		return false
	}
	sent := modelFrame{dissection: d, dir: bpf.Upload, self: d.source, peer: d.destination}
	sent.router = slices.Contains(m.router, sent.peer)
	if m.isGarden(sent.peer) {
		return true
	}
	if sent.router && !f.router {
		return false // no other is on the way to it
	}
	return !sent.fragment && !sent.onward && ((sent.isDNS() && sent.router) || m.isPortal(&sent))
}

// isDHCP is RFC 2131 and RFC 8415, with the router, or to all servers of the link.
func (f *modelFrame) isDHCP() bool {
	client, server, ok := f.servicePorts()
	if !ok || f.protocol != nextUDP {
		return false
	}
	if f.ip == 4 {
		toAll := f.dir == bpf.Upload && f.peer == netip.MustParseAddr("255.255.255.255")
		return client == 68 && server == 67 && (f.router || toAll)
	}
	toAll := f.dir == bpf.Upload && f.peer == netip.MustParseAddr("ff02::1:2")
	return client == 546 && server == 547 && (f.router || toAll)
}

func (m *model) isPortal(f *modelFrame) bool {
	_, port, ok := f.servicePorts()
	return ok && slices.ContainsFunc(m.portals, func(p dataplane.Portal) bool {
		number := bpf.PortalToWire(p).Protocol
		at := p.Addr == f.peer || (f.router && !p.Addr.IsValid())
		return at && p.Port == port && number == f.protocol
	})
}

// modelBucket is a bucket of a speed and a depth, of bytes or of answers.
type modelBucket struct {
	perUnit dataplane.Boottime
	depth   dataplane.Boottime // units
}

var (
	beforePaying = modelBucket{500_000, 1 << 14} // 16 kbit/s, and 16 KiB at once
	freeDNS      = modelBucket{125_000, 64_000}  // 64 kbit/s, and 64 KB at once
	answers      = modelBucket{5_000_000, 400}   // 200 a second, and 400 at once
	news         = modelBucket{1e9, 256}         // one a second, and 256 at once
)

// limit is what has a speed before paying, each kind for itself: one for each MAC; and for
// all together 64 times as much.
func (m *model) limit(f *modelFrame, kind int, now dataplane.Boottime) bpf.HotspotReason {
	charge, room := f.inBucket()
	if !m.admit(f, kind, beforePaying, charge, room, 64, now) {
		return dnsDrop
	}
	return preauth
}

// admit charges a MAC, and then all together, which have as much as so many MACs.
func (m *model) admit(f *modelFrame, kind int, b modelBucket, charge, room, macs, now dataplane.Boottime) (fits bool) {
	own := m.limited[f.client]
	own[kind], fits = b.fill(own[kind], charge, room, 1, now)
	m.limited[f.client] = own // known from now on, if it fits or not
	if fits {
		m.allLimited[kind], fits = b.fill(m.allLimited[kind], charge, room, macs, now)
	}
	return fits
}

// inBucket is what a frame costs, and what has to fit: a packet that is longer than a frame
// may be waits for a frame's room only.
func (f *modelFrame) inBucket() (charge, room dataplane.Boottime) {
	return dataplane.Boottime(f.bytes), dataplane.Boottime(min(f.bytes, 1514))
}

// freeLookup is DNS of a connected client: free up to a speed.
func (m *model) freeLookup(f *modelFrame, now dataplane.Boottime) (fits bool) {
	charge, room := f.inBucket()
	m.lookups[f.client], fits = freeDNS.fill(m.lookups[f.client], charge, room, 1, now)
	return fits
}

// fill returns when a bucket is empty after a charge that found room in it, or did not. The
// bucket may be that of as many MACs.
func (b modelBucket) fill(empty, charge, room, macs, now dataplane.Boottime) (dataplane.Boottime, bool) {
	charge, room = charge*b.perUnit/macs, room*b.perUnit/macs
	backlog := max(0, empty-now)
	if backlog+room > b.depth*b.perUnit {
		return empty, false
	}
	return now + backlog + charge, true
}
