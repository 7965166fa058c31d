// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// gardenModel is the walled garden by name: addresses that are open for a time, on some ports.
type gardenModel struct {
	ports []uint16
	speed modelBucket // of a device, both directions together
	open  map[netip.Addr]gardenTerm
}

// gardenTerm is for how long an address is open, in seconds of the boot clock.
type gardenTerm struct {
	until uint32
	named uint32 // by the last answer
}

func newGardenModel(g dataplane.Garden) *gardenModel {
	perByte := dataplane.Boottime(8*time.Second) / dataplane.Boottime(g.SpeedBPS)
	return &gardenModel{ports: g.Ports, speed: modelBucket{perByte, 64_000}, open: make(map[netip.Addr]gardenTerm)}
}

func (g *gardenModel) clone() *gardenModel {
	if g == nil {
		return nil
	}
	c := *g
	c.open = maps.Clone(g.open)
	return &c
}

func seconds(t dataplane.Boottime) uint32 { return uint32(time.Duration(t) / time.Second) }

// byName is what the walled garden by name makes of a frame that was dropped for a reason.
func (m *model) byName(f *modelFrame, why bpf.HotspotReason, now dataplane.Boottime) bpf.HotspotReason {
	unpaid := why == noRule || why == limitDrop || why == lateDrop || why == boundDrop
	if m.names == nil || !unpaid || f.ip == 0 || f.vlan.id != 0 || isGroup(f.to) || f.fragment || f.onward {
		return why
	}
	switch {
	case m.isNamed(f, now):
		charge, room := f.inBucket()
		if !m.admit(f, int(bpf.HotspotPreauthSpeedPREAUTH_GARDEN), m.names.speed, min(charge, 1<<19), room, 512, now) {
			return gardenDrop
		}
		m.names.use(f.peer, now)
		return passGarden
	case f.isError() && m.aboutNamed(f, now):
		return m.limit(f, bpf.PreauthErrors, now)
	}
	return why
}

// isNamed is of an open address, on one of the ports. The router may have got the address
// since.
func (m *model) isNamed(f *modelFrame, now dataplane.Boottime) bool {
	_, port, ok := f.servicePorts()
	term, known := m.names.open[f.peer]
	return ok && slices.Contains(m.names.ports, port) && known && term.until > seconds(now) && !slices.Contains(m.router, f.peer)
}

// aboutNamed is of an error to the client about what it sent to an open address.
func (m *model) aboutNamed(f *modelFrame, now dataplane.Boottime) bool {
	d, ok := f.quoted()
	if !ok || f.dir != bpf.Download || d.source != f.destination || d.fragment || d.onward {
		return false
	}
	return m.isNamed(&modelFrame{dissection: d, dir: bpf.Upload, self: d.source, peer: d.destination}, now)
}

// use: a packet keeps an address open for ten minutes, up to a day after the last answer.
func (g *gardenModel) use(a netip.Addr, now dataplane.Boottime) {
	term := g.open[a]
	term.until = max(term.until, min(seconds(now)+600, term.named+86400))
	g.open[a] = term
}

// learn: an answer opens an address for its TTL, and for ten minutes at least.
func (g *gardenModel) learn(a netip.Addr, ttl uint32, now dataplane.Boottime) {
	term := g.open[a]
	term.named = seconds(now)
	term.until = max(term.until, term.named+min(max(ttl, 600), 86400))
	g.open[a] = term
}

// modelGarden is as slow as the lookups of a connected client, so that no time that a script
// takes makes room for a packet.
func modelGarden() dataplane.Garden {
	g := testGarden()
	g.SpeedBPS = 64_000
	return g
}

// plant changes what is open: by an entry, or by an answer of the router's DNS, which is
// judged as any other frame. The walled garden has no memory of where an entry is from.
func (t *trial) plant() {
	addr := netip.MustParseAddr(pick(t.script, server4, server6, portal4, portal6, routerGarden4, router4, router6))
	if t.rarely(3) {
		t.judge(t.answerWith(addr, pick[uint32](t.script, 0, 700, 7*86400)))
		return
	}
	now := seconds(kernel.BootNow())
	term := gardenTerm{
		until: now + pick[uint32](t.script, 30, 6000, 0, 1),
		named: now - pick[uint32](t.script, 0, 6000, 86400-100, 86400),
	}
	t.put(t.GardenAddrs, bpf.AddrToWire(addr), bpf.HotspotGardenAddr{UntilS: term.until, NamedS: term.named})
	t.model.names.open[addr] = term
}

// answerWith is an answer to the client with an address, next to some that no name opens.
func (t *trial) answerWith(addr netip.Addr, ttl uint32) step {
	records := []dnsmessage.Resource{address(exactName, ttl, routerGarden4), address(exactName, ttl, addr.String()), address(exactName, ttl, "10.1.2.3")}
	return step{dir: bpf.Download, frame: datagram(t.t, message(t.t, exactName, records...)), opens: addr, ttl: ttl}
}

// compareGarden compares what is open, and takes over the second in which it was written.
func (t *trial) compareGarden(took time.Duration) {
	if t.model.names == nil {
		return
	}
	got := make(map[netip.Addr]gardenTerm)
	var key bpf.HotspotAddrKey
	var a bpf.HotspotGardenAddr
	for entries := t.GardenAddrs.Iterate(); entries.Next(&key, &a); {
		got[netip.AddrFrom16(key.Addr).Unmap()] = gardenTerm{a.UntilS, a.NamedS}
	}
	slack := int64(took/time.Second) + 1
	near := func(a, b uint32) bool { return max(int64(a)-int64(b), int64(b)-int64(a)) <= slack }
	agree := maps.EqualFunc(t.model.names.open, got, func(want, got gardenTerm) bool {
		return near(want.until, got.until) && near(want.named, got.named)
	})
	if !agree {
		t.complain("open by name: %v, the model says %v", got, t.model.names.open)
	}
	t.model.names.open = got
}
