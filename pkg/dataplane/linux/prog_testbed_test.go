// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// What tc programs return: "the next one decides", and drop.
const (
	actUnspec = ^uint32(0)
	actShot   = uint32(2)
)

// skBuff is the part of struct __sk_buff that a run may set (linux/bpf.h).
type skBuff struct {
	_       [36]byte
	ingress uint32 // index of the interface that the frame came in by; 0: the router made it
	_       [136]byte
	gsoSize uint32
	_       [12]byte
}

// testbed is one load of the programs, with maps of its own, attached nowhere.
type testbed struct {
	bpf.HotspotObjects
	t        testing.TB
	clients  *tables.MmapArray[bpf.HotspotClient]
	accounts *tables.MmapArray[bpf.HotspotAccount]
	// Indexes in the arrays, by MAC and by account. An account's queues have its own.
	places, counters map[any]uint32
}

// testbedLimiter is what testbeds are loaded with, testbedClients how many they hold.
var (
	testbedLimiter = dataplane.Bucket
	testbedClamp   bool
	testbedUplink  dataplane.Uplink
	testbedBind    bool
	testbedClients = uint32(4096)
)

// newTestbed loads the programs, for bridge ports when port is true.
func newTestbed(t testing.TB, port bool) *testbed {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := bpf.LoadHotspot()
	if err != nil {
		t.Fatal(err)
	}
	v := bpf.WholeInterface
	if port {
		v = bpf.BridgePort
	}
	if err := bpf.SetConstants(spec, v, Options{Limiter: testbedLimiter, TCPWindowClamp: testbedClamp, Uplink: testbedUplink, Bind: testbedBind}.ProgramConfig()); err != nil {
		t.Fatal(err)
	}
	spec.Maps[bpf.HotspotMapClientIndex].MaxEntries = testbedClients
	spec.Maps[bpf.HotspotMapClients].MaxEntries = testbedClients
	spec.Maps[bpf.HotspotMapClientDns].MaxEntries = testbedClients
	spec.Maps[bpf.HotspotMapAccounts].MaxEntries = maxAccounts(testbedClients)
	b := &testbed{t: t, places: make(map[any]uint32), counters: make(map[any]uint32)}
	if err := spec.LoadAndAssign(&b.HotspotObjects, nil); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	var err1, err2 error
	b.clients, err1 = tables.Mmap[bpf.HotspotClient](b.Clients)
	b.accounts, err2 = tables.Mmap[bpf.HotspotAccount](b.Accounts)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.clients.Close(); b.accounts.Close() })
	b.furnish()
	return b
}

// clean returns the testbed for another test, without clients.
func (b *testbed) clean(t testing.TB) *testbed {
	t.Helper()
	again := *b
	again.t, again.places, again.counters = t, make(map[any]uint32), make(map[any]uint32)
	for _, index := range b.counters {
		again.put(b.Flows, index, new(bpf.HotspotFlows))
		b.accounts.At[index] = bpf.HotspotAccount{}
	}
	for _, m := range []*ebpf.Map{b.ClientIndex, b.PreauthBuckets, b.GardenAddrs, b.DnsStreams} {
		var keys [][]byte
		var key []byte
		for entries := m.Iterate(); entries.Next(&key, new([]byte)); {
			keys = append(keys, slices.Clone(key))
		}
		for _, key := range keys {
			if err := m.Delete(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	again.put(b.PreauthBucketAll, uint32(0), new(bpf.HotspotPreauthBucket))
	_ = again.events()
	return &again
}

// byName are the maps, as the programs name them.
func (b *testbed) byName() map[string]*ebpf.Map {
	maps, list := make(map[string]*ebpf.Map), reflect.ValueOf(b.HotspotMaps)
	for i := range list.NumField() {
		maps[list.Type().Field(i).Tag.Get("ebpf")] = list.Field(i).Interface().(*ebpf.Map)
	}
	return maps
}

// furnish writes the router, a portal on it, one elsewhere, and a walled garden.
func (b *testbed) furnish() {
	b.t.Helper()
	var filter bpf.RouterFilter
	for _, addr := range []string{router4, router6, routerLL, routerGarden4} {
		key := bpf.AddrToWire(netip.MustParseAddr(addr))
		b.put(b.RouterAddrs, key, uint8(1))
		filter.Add(key)
	}
	b.put(b.RouterFilter, uint32(0), &filter)
	b.put(b.RouterMacs, bpf.MACToWire(routerMAC), uint8(1))
	b.put(b.RouterVlans, bpf.VLANToWire(loopback, typeVLAN, uplinkVLAN), uint8(1))
	for _, p := range furnishedPortals() {
		b.put(b.Portals, bpf.PortalToWire(p), uint8(1))
	}
	for _, prefix := range []string{"192.0.2.0/24", "2001:db8:cafe::/48"} {
		b.put(b.WalledGarden, bpf.PrefixToWire(netip.MustParsePrefix(prefix)), uint8(1))
	}
}

func furnishedPortals() []dataplane.Portal {
	return []dataplane.Portal{
		{Port: 8080, Protocol: "tcp"},
		{Addr: netip.MustParseAddr(portal4), Port: 443, Protocol: "tcp"},
		{Addr: netip.MustParseAddr(portal6), Port: 443, Protocol: "udp"},
	}
}

func (b *testbed) put(m *ebpf.Map, key, value any) {
	b.t.Helper()
	if err := m.Put(key, value); err != nil {
		b.t.Fatalf("%v[%v]: %v", m, key, err)
	}
}

// grant writes a rule, and makes its account and queues unless they are there. No
// packet is under way, or one that may see either rule.
func (b *testbed) grant(mac dataplane.MAC, r dataplane.Rule) {
	b.t.Helper()
	w, err := bpf.RuleToWire(r)
	if err != nil {
		b.t.Fatal(err)
	}
	w.AccountIndex, w.FlowsIndex = tables.NoIndex, tables.NoIndex
	if r.Account != 0 {
		w.AccountIndex = b.counter(r.Account)
		w.FlowsIndex = w.AccountIndex
	}
	b.setRule(mac, w)
}

// setRule puts a rule in force.
func (b *testbed) setRule(mac dataplane.MAC, w bpf.HotspotRule) {
	b.t.Helper()
	_, known := b.places[mac]
	index := indexOf(b.places, mac)
	if !known {
		b.put(b.ClientDns, index, new(bpf.HotspotDnsBucket))
	}
	client := &b.clients.At[index]
	place := atomic.LoadUint32(&client.InForce) % uint32(len(client.Rule))
	client.Rule[place] = w
	atomic.StoreUint32(&client.InForce, place+1)
	b.put(b.ClientIndex, bpf.MACToWire(mac), index)
}

// counter is the index of an account's counters, which it makes.
func (b *testbed) counter(account dataplane.Account) uint32 {
	if index, ok := b.counters[account]; ok {
		return index
	}
	index := indexOf(b.counters, account)
	b.accounts.At[index] = bpf.HotspotAccount{Id: uint64(account)}
	return index
}

func indexOf(indexes map[any]uint32, key any) uint32 {
	if _, ok := indexes[key]; !ok {
		indexes[key] = uint32(len(indexes))
	}
	return indexes[key]
}

func (b *testbed) account(account dataplane.Account) bpf.HotspotAccount {
	b.t.Helper()
	return b.accounts.At[b.counter(account)]
}

// setUsage replaces an account's counters, as no agent may do.
func (b *testbed) setAccount(account dataplane.Account, u bpf.HotspotAccount) {
	b.t.Helper()
	b.accounts.At[b.counter(account)] = u
}

func (b *testbed) counted(id dataplane.Account) dataplane.Counters {
	return tables.CountersFromWire(&b.accounts.At[b.counter(id)])
}

func (b *testbed) program(dir int) *ebpf.Program {
	if dir == bpf.Upload {
		return b.FromClient
	}
	return b.ToClient
}

// send runs the program once, and reports whether the frame passed. A frame with
// a gsoSize other than 0 is a super-packet. Safe for concurrent use.
func (b *testbed) send(dir int, frame []byte, gsoSize uint32) (bool, error) {
	action, _, err := b.exchange(dir, frame, gsoSize)
	if err == nil && action != actUnspec && action != actShot {
		err = fmt.Errorf("the program returned %d", action)
	}
	return action == actUnspec, err
}

// exchange runs the program once, and returns what it did with the frame, and the frame
// afterwards.
func (b *testbed) exchange(dir int, frame []byte, gsoSize uint32) (action uint32, out []byte, err error) {
	return b.exchangeOf(dir, frame, skBuff{gsoSize: gsoSize})
}

// exchangeOf is exchange of a frame that the kernel knows more of.
func (b *testbed) exchangeOf(dir int, frame []byte, of skBuff) (action uint32, out []byte, err error) {
	// Room for the frame as it was, or for an answer to a shorter one.
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+1024), Context: of}
	action, err = b.program(dir).Run(&opts)
	return action, opts.DataOut, err
}

// setMACsFull says that the router has more MACs than the programs know.
func (b *testbed) setMACsFull(full bool) {
	b.t.Helper()
	value := uint32(0)
	if full {
		value = 1
	}
	b.put(b.RouterMacsFull, uint32(0), value)
}

// passes reports whether a frame is let through for a reason: so say the labels.
func passes(r bpf.HotspotReason) bool { return strings.HasPrefix(bpf.ReasonLabels[r], "pass_") }

// outcome is what the programs said of one frame.
type outcome struct {
	Reason bpf.HotspotReason
	Wire   uint64 // bytes
	Answer string // the frame that it became, by captive.c
}

// run is send, with the reason. It fails the test unless the frame was counted
// once, in its direction, and passed or dropped as its reason says.
func (b *testbed) run(dir int, frame []byte, gsoSize uint32) outcome {
	b.t.Helper()
	before := b.stats()
	passed, err := b.send(dir, frame, gsoSize)
	if err != nil {
		b.t.Fatal(err)
	}
	got := b.only(dir, before)
	if passed != passes(got.Reason) {
		b.t.Fatalf("%v, but passed = %t", got, passed)
	}
	return got
}

// only returns what the statistics say of the one frame since before.
func (b *testbed) only(dir int, before statistics) outcome {
	b.t.Helper()
	var found []outcome
	for key, after := range b.stats() {
		if n := after.Packets - before[key].Packets; n == 1 && key/int(bpf.HotspotReasonREASONS) == dir {
			reason := bpf.HotspotReason(key % int(bpf.HotspotReasonREASONS))
			found = append(found, outcome{Reason: reason, Wire: after.Bytes - before[key].Bytes})
		} else if n != 0 {
			b.t.Fatalf("one frame counted %d times, key %d", n, key)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("one frame counted as %v", found)
	}
	return found[0]
}

// statistics are by direction and reason.
type statistics [bpf.Directions * int(bpf.HotspotReasonREASONS)]bpf.HotspotStat

// stats sums the statistics of all CPUs.
func (b *testbed) stats() statistics {
	b.t.Helper()
	var sums statistics
	for key := range sums {
		var perCPU []bpf.HotspotStat
		if err := b.Stats.Lookup(uint32(key), &perCPU); err != nil {
			b.t.Fatal(err)
		}
		for _, s := range perCPU {
			sums[key].Packets += s.Packets
			sums[key].Bytes += s.Bytes
		}
	}
	return sums
}

// events reads all that the programs have notified of so far.
func (b *testbed) events() []dataplane.Event {
	b.t.Helper()
	reader, err := ringbuf.NewReader(b.HotspotObjects.Events)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	reader.SetDeadline(time.Unix(1, 0)) // what is there, without waiting
	var events []dataplane.Event
	for {
		record, err := reader.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return events
		}
		if err != nil {
			b.t.Fatal(err)
		}
		var wire bpf.HotspotEvent
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &wire); err != nil {
			b.t.Fatal(err)
		}
		events = append(events, bpf.EventFromWire(&wire))
	}
}
