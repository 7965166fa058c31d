// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

// What tc programs return: "the next one decides", and drop.
const (
	actUnspec = ^uint32(0)
	actShot   = uint32(2)
)

// skBuff is the part of struct __sk_buff that a run may set (linux/bpf.h).
type skBuff struct {
	_       [176]byte
	gsoSize uint32
	_       [12]byte
}

// testbed is one load of the programs, with maps of its own, attached nowhere.
type testbed struct {
	hotspotObjects
	t testing.TB
}

// testbedLimiter is what testbeds are loaded with.
var testbedLimiter = Bucket

// newTestbed loads the programs, for bridge ports when port is true.
func newTestbed(t testing.TB, port bool) *testbed {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := loadHotspot()
	if err != nil {
		t.Fatal(err)
	}
	v := wholeInterface
	if port {
		v = bridgePort
	}
	if err := setConstants(spec, v, testbedLimiter); err != nil {
		t.Fatal(err)
	}
	b := &testbed{t: t}
	if err := spec.LoadAndAssign(&b.hotspotObjects, nil); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	b.furnish()
	return b
}

// clean returns the testbed for another test, without clients.
func (b *testbed) clean(t testing.TB) *testbed {
	t.Helper()
	for _, m := range []*ebpf.Map{b.Rules, b.Usages, b.Flows, b.Allowances} {
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
	_ = b.events()
	return &testbed{hotspotObjects: b.hotspotObjects, t: t}
}

// furnish writes the router, a portal on it, one elsewhere, and a walled garden.
func (b *testbed) furnish() {
	b.t.Helper()
	for _, addr := range []string{router4, router6, routerLL} {
		b.put(b.RouterAddrs, addrToWire(netip.MustParseAddr(addr)), uint8(1))
	}
	b.put(b.RouterMacs, macToWire(routerMAC), uint8(1))
	portals := []Portal{
		{Port: 8080, Protocol: "tcp"},
		{Addr: netip.MustParseAddr(portal4), Port: 443, Protocol: "tcp"},
		{Addr: netip.MustParseAddr(portal6), Port: 443, Protocol: "udp"},
	}
	for _, p := range portals {
		key, err := portalToWire(p)
		if err != nil {
			b.t.Fatal(err)
		}
		b.put(b.Portals, key, uint8(1))
	}
	for _, prefix := range []string{"192.0.2.0/24", "2001:db8:cafe::/48"} {
		b.put(b.WalledGarden, prefixToWire(netip.MustParsePrefix(prefix)), uint8(1))
	}
}

func (b *testbed) put(m *ebpf.Map, key, value any) {
	b.t.Helper()
	if err := m.Put(key, value); err != nil {
		b.t.Fatalf("%v[%v]: %v", m, key, err)
	}
}

// grant writes a rule, and its account and queues unless they are there.
func (b *testbed) grant(mac MAC, r Rule) {
	b.t.Helper()
	w, err := ruleToWire(r)
	if err != nil {
		b.t.Fatal(err)
	}
	if r.Account != 0 {
		err = errors.Join(
			makeKey(b.Usages, uint64(r.Account), new(hotspotUsage)),
			makeKey(b.Flows, uint64(r.Account), new(hotspotFlows)),
		)
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.put(b.Rules, macToWire(mac), w)
}

func (b *testbed) usage(account Account) hotspotUsage {
	b.t.Helper()
	var u hotspotUsage
	if err := b.Usages.LookupWithFlags(uint64(account), &u, ebpf.LookupLock); err != nil {
		b.t.Fatal(err)
	}
	return u
}

// setUsage replaces an account's counters, as no agent may do.
func (b *testbed) setUsage(account Account, u hotspotUsage) {
	b.t.Helper()
	if err := b.Usages.Update(uint64(account), u, ebpf.UpdateLock); err != nil {
		b.t.Fatal(err)
	}
}

func (b *testbed) counters(account Account) Counters {
	u := b.usage(account)
	return countersFromWire(&u)
}

func (b *testbed) program(dir int) *ebpf.Program {
	if dir == upload {
		return b.FromClient
	}
	return b.ToClient
}

// send runs the program once, and reports whether the frame passed. A frame with
// a gsoSize other than 0 is a super-packet. Safe for concurrent use.
func (b *testbed) send(dir int, frame []byte, gsoSize uint32) (bool, error) {
	ret, err := b.program(dir).Run(&ebpf.RunOptions{Data: frame, Context: skBuff{gsoSize: gsoSize}})
	if err != nil {
		return false, err
	}
	if ret != actUnspec && ret != actShot {
		return false, fmt.Errorf("the program returned %d", ret)
	}
	return ret == actUnspec, nil
}

// outcome is what the programs said of one frame.
type outcome struct {
	Reason hotspotReason
	Wire   uint64 // bytes
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
	if passed != (got.Reason <= hotspotReasonPASS_BRIDGED) {
		b.t.Fatalf("%v, but passed = %t", got, passed)
	}
	return got
}

// only returns what the statistics say of the one frame since before.
func (b *testbed) only(dir int, before statistics) outcome {
	b.t.Helper()
	var found []outcome
	for key, after := range b.stats() {
		if n := after.Packets - before[key].Packets; n == 1 && key/int(hotspotReasonREASONS) == dir {
			reason := hotspotReason(key % int(hotspotReasonREASONS))
			found = append(found, outcome{reason, after.Bytes - before[key].Bytes})
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
type statistics [directions * hotspotReasonREASONS]hotspotStat

// stats sums the statistics of all CPUs.
func (b *testbed) stats() statistics {
	b.t.Helper()
	var sums statistics
	for key := range sums {
		var perCPU []hotspotStat
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

// events takes all that the programs have told so far.
func (b *testbed) events() []Event {
	b.t.Helper()
	reader, err := ringbuf.NewReader(b.hotspotObjects.Events)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	reader.SetDeadline(time.Unix(1, 0)) // what is there, without waiting
	var told []Event
	for {
		record, err := reader.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return told
		}
		if err != nil {
			b.t.Fatal(err)
		}
		var wire hotspotEvent
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &wire); err != nil {
			b.t.Fatal(err)
		}
		told = append(told, eventFromWire(&wire))
	}
}
