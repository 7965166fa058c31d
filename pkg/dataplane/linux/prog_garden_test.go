// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

const (
	passGarden = bpf.HotspotReasonPASS_GARDEN
	gardenDrop = bpf.HotspotReasonDROP_GARDEN_RATE
)

// Names and addresses of the tests.
const (
	exactName  = "pay.example"
	suffixName = "bank.example"
	named4     = "198.51.100.80"
	named6     = "2001:db8:5::80"
)

// longLabel is of as many bytes as a label may have, and one with as many as "-" is in ASCII.
var (
	longLabel   = strings.Repeat("l", 63)
	hyphenLabel = strings.Repeat("h", '-')
)

func testGarden() dataplane.Garden {
	g := dataplane.Garden{Ports: []uint16{443, 80}, SpeedBPS: 1_000_000}
	for _, name := range []dataplane.GardenName{
		exactName, "*." + suffixName, "*." + dataplane.GardenName(longLabel) + ".example", "*." + dataplane.GardenName(hyphenLabel) + ".example",
	} {
		g.Entries = append(g.Entries, dataplane.GardenEntry{Name: name})
	}
	return g
}

// gardenTestbed has names in the walled garden.
type gardenTestbed struct{ captiveTestbed }

func newGardenTestbed(t testing.TB, c dataplane.Captive, g dataplane.Garden) gardenTestbed {
	t.Helper()
	b := newTestbed(t, false)
	b.answer(c, g, bpf.CaptiveNews)
	b.learn(g)
	return gardenTestbed{captiveTestbed{b}}
}

// learn loads what reads DNS answers.
func (b *testbed) learn(g dataplane.Garden) {
	b.t.Helper()
	for _, name := range g.Names() {
		b.put(b.GardenNames, bpf.NameToWire(name), uint8(1))
	}
	programs, err := newGarden(b.byName())
	check(b.t, err)
	b.t.Cleanup(func() { _ = programs.Close() })
	check(b.t, enterGarden(b.GardenEgress, programs))
}

// rr is a resource record of an answer.
func rr(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

// address is the record of an address.
func address(name string, ttl uint32, addr string) dnsmessage.Resource {
	if a := netip.MustParseAddr(addr); a.Is4() {
		return rr(name, ttl, &dnsmessage.AResource{A: a.As4()})
	}
	return rr(name, ttl, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(addr).As16()})
}

func alias(name, to string) dnsmessage.Resource {
	return rr(name, 60, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to + ".")})
}

// message is an answer.
func message(t testing.TB, name string, answers ...dnsmessage.Resource) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers:   answers,
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// datagram is a frame of the router's DNS.
func datagram(t testing.TB, message []byte) []byte {
	t.Helper()
	return build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 53), gopacket.Payload(message))
}

func datagram6(t testing.TB, message []byte) []byte {
	t.Helper()
	return build(t, l2(bpf.Download, etherIPv6), ip6(bpf.Download, router6, protoUDP), udp(bpf.Download, 40000, 53), gopacket.Payload(message))
}

// hear passes a frame to a client, which has to pass.
func (b gardenTestbed) hear(frame []byte, of skBuff) {
	b.t.Helper()
	if action, _, err := b.exchangeOf(bpf.Download, frame, of); err != nil || action != actUnspec {
		b.t.Fatalf("an answer of the router: %d, %v", action, err)
	}
}

// open returns what is open, for how many seconds.
func (b *testbed) open() map[string]int {
	b.t.Helper()
	now, open := time.Duration(kernel.BootNow()), make(map[string]int)
	var key bpf.HotspotAddrKey
	var a bpf.HotspotGardenAddr
	for entries := b.GardenAddrs.Iterate(); entries.Next(&key, &a); {
		open[netip.AddrFrom16(key.Addr).Unmap().String()] = int(time.Duration(a.UntilS)*time.Second-now+time.Second-1) / int(time.Second)
	}
	return open
}

func (b *testbed) opened() string { return strings.Join(slices.Sorted(maps.Keys(b.open())), " ") }

// forget closes all addresses.
func (b gardenTestbed) forget() {
	b.t.Helper()
	check(b.t, closeAddresses(b.GardenAddrs))
}

func (b gardenTestbed) counts() (list [4]uint64) {
	b.t.Helper()
	for i := range list {
		var perCPU []uint64
		check(b.t, b.GardenCounts.Lookup(uint32(i), &perCPU))
		for _, n := range perCPU {
			list[i] += n
		}
	}
	return list
}

// TestGardenNames: whole labels match, in any case, and nothing that only looks the same.
func TestGardenNames(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	for name, want := range map[string]bool{
		exactName: true, "PAY.eXample": true, suffixName: true, "a.b.c." + suffixName: true, "A.BANK.EXAMPLE": true, "x_y." + suffixName: true,
		"www." + exactName: false, "xpay.example": false, "notbank.example": false, "example": false, "bank.example.evil.test": false, "pay.example.evil.test": false,
		"bankexample": false, "bank.exampl": false, "ank.example": false, "bank.examplex": false,
		longLabel + ".example": true, longLabel + "." + longLabel + ".example": true, longLabel[:62] + ".example": false, "x" + longLabel[1:] + ".example": false,
		hyphenLabel + ".example": true, "a." + hyphenLabel + ".example": true, "evil-" + hyphenLabel + ".example": false, "-" + hyphenLabel + ".example": false,
		strings.Repeat("a.", 120) + suffixName: true,
		longLabel + "." + longLabel + "." + longLabel + "." + strings.Repeat("a", 48) + "." + suffixName: true,
		// A label with a dot, a NUL, a length or a letter of another script in it.
		`evil\.` + suffixName: false,
	} {
		m := message(t, "placeholder", address("a", 60, named4))
		m = rename(m, "placeholder", name)
		b.forget()
		b.hear(datagram(t, m), skBuff{})
		if got := b.opened() == named4; got != want {
			t.Errorf("%s: opened %t, want %t", name, got, want)
		}
	}
	b.forget()
	for _, label := range []string{"evil.bank", "evil\x04bank", "bank\x00", "\x00bank", "ban\xeb", "evil\xff\x04bank"} {
		m := message(t, "p", address("a", 60, named4))
		b.hear(datagram(t, slices.Concat(m[:12], []byte{byte(len(label))}, []byte(label), []byte("\x07example\x00"), m[15:])), skBuff{})
	}
	if got := b.opened(); got != "" {
		t.Errorf("a label of no host name opened %q", got)
	}
}

// rename replaces the name in the question, which may be one that a library does not make.
func rename(message []byte, from, to string) []byte {
	var name []byte
	for label := range strings.SplitSeq(strings.ReplaceAll(to, `\.`, "\x01"), ".") {
		label = strings.ReplaceAll(label, "\x01", ".")
		name = append(append(name, byte(len(label))), label...)
	}
	return slices.Concat(message[:12], name, message[12+1+len(from):])
}

// TestGardenAnswers: what is opened by an answer, and for how long.
func TestGardenAnswers(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	hints := func(params ...dnsmessage.SVCParam) dnsmessage.Resource {
		r := &dnsmessage.HTTPSResource{}
		r.Priority, r.Target, r.Params = 1, dnsmessage.MustNewName("."), params
		return rr(exactName, 900, r)
	}
	v4, v6 := netip.MustParseAddr(named4).As4(), netip.MustParseAddr(named6).As16()
	other := rr(exactName, 60, &dnsmessage.TXTResource{TXT: []string{strings.Repeat("t", 200)}})
	chaos := address(exactName, 60, named4)
	chaos.Header.Class = dnsmessage.ClassCHAOS
	short := rr(exactName, 60, &dnsmessage.UnknownResource{Type: dnsmessage.TypeA, Data: []byte{198, 51, 100}})
	for _, c := range []struct {
		name    string
		answers []dnsmessage.Resource
		want    map[string]int // seconds
	}{
		{"an address", []dnsmessage.Resource{address(exactName, 900, named4)}, map[string]int{named4: 900}},
		{"two families", []dnsmessage.Resource{address(exactName, 900, named6), address(exactName, 901, named4)}, map[string]int{named6: 900, named4: 901}},
		{"TTL 0", []dnsmessage.Resource{address(exactName, 0, named4)}, map[string]int{named4: 600}},
		{"a week", []dnsmessage.Resource{address(exactName, 7*86400, named4)}, map[string]int{named4: 86400}},
		{"a TTL with the highest bit", []dnsmessage.Resource{address(exactName, 1<<31+5000, named4)}, map[string]int{named4: 600}},
		{"CNAMEs", []dnsmessage.Resource{alias(exactName, "cdn.test"), alias("cdn.test", "a.very.distant.edge.test"), address("a.very.distant.edge.test", 900, named4)},
			map[string]int{named4: 900}},
		{"other records", []dnsmessage.Resource{other, chaos, short, address(exactName, 900, named6)}, map[string]int{named6: 900}},
		{"hints", []dnsmessage.Resource{hints(
			dnsmessage.SVCParam{Key: dnsmessage.SVCParamALPN, Value: []byte("\x02h2")},
			dnsmessage.SVCParam{Key: dnsmessage.SVCParamIPv4Hint, Value: append(v4[:], 198, 51, 100, 81)},
			dnsmessage.SVCParam{Key: dnsmessage.SVCParamIPv6Hint, Value: v6[:]}), address(exactName, 1200, "198.51.100.82")},
			map[string]int{named4: 900, "198.51.100.81": 900, named6: 900, "198.51.100.82": 1200}},
		{"hints of a broken length", []dnsmessage.Resource{hints(dnsmessage.SVCParam{Key: dnsmessage.SVCParamIPv4Hint, Value: v4[:3]})}, nil},
		{"private and special addresses", gardenPrivate(), nil},
		{"NAT64", []dnsmessage.Resource{address(exactName, 900, "64:ff9b::c633:6450"), address(exactName, 900, "64:ff9b::10.0.0.1")}, map[string]int{"64:ff9b::c633:6450": 900}},
		{"IPv4 as IPv6", []dnsmessage.Resource{rr(exactName, 900, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:" + named4).As16()})}, map[string]int{named4: 900}},
		{"nothing", nil, nil},
	} {
		for family, frame := range map[string]func(testing.TB, []byte) []byte{"IPv4": datagram, "IPv6": datagram6} {
			b.forget()
			b.hear(frame(t, message(t, exactName, c.answers...)), skBuff{})
			got := b.open()
			for addr, want := range c.want {
				if got[addr] < want-2 || got[addr] > want+1 {
					t.Errorf("%s, %s: %s is open for %d s, want %d", c.name, family, addr, got[addr], want)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%s, %s: open %v, want %v", c.name, family, got, c.want)
			}
		}
	}
}

// gardenPrivate are addresses that no name opens: that of the router is of the internet.
func gardenPrivate() (list []dnsmessage.Resource) {
	for _, addr := range []string{
		"0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		routerGarden4, router4, "::", "::1", "::198.51.100.7", "fe80::1", "fc00::1", router6, "ff02::1", "4000::1", "64:ff9b:1::c633:6450",
	} {
		list = append(list, address(exactName, 900, addr))
	}
	return append(list, rr(exactName, 900, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:10.1.2.3").As16()}))
}

// TestGardenBelievesTheRouter: only its own answers, as they are sent.
func TestGardenBelievesTheRouter(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	m := message(t, exactName, address(exactName, 900, named4))
	change := func(at int, to byte) []byte {
		c := slices.Clone(m)
		c[at] = to
		return c
	}
	pass := func(parts ...layer) []byte {
		return build(t, append([]layer{l2(bpf.Download, etherIPv4)}, parts...)...)
	}
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	fragment := ip4(bpf.Download, router4, protoUDP)
	fragment.Flags = layers.IPv4MoreFragments
	toGroup := ether(routerMAC, multicastMAC, etherIPv4)
	for name, c := range map[string]struct {
		frame []byte
		of    skBuff
	}{
		"that a client forges":   {datagram(t, m), skBuff{ingress: loopback}},
		"of another server":      {pass(ip4(bpf.Download, server4, protoUDP), udp(bpf.Download, 40000, 53), gopacket.Payload(m)), skBuff{}},
		"of another port":        {pass(ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 5353), gopacket.Payload(m)), skBuff{}},
		"that is a query":        {datagram(t, change(2, 0)), skBuff{}},
		"of another operation":   {datagram(t, change(2, 0x90)), skBuff{}},
		"that no name has":       {datagram(t, change(3, 0x83)), skBuff{}},
		"to two questions":       {datagram(t, change(5, 2)), skBuff{}},
		"of another class":       {datagram(t, change(12+13+3, 3)), skBuff{}},
		"in a fragment":          {pass(fragment, udp(bpf.Download, 40000, 53), gopacket.Payload(m)), skBuff{}},
		"of TCP, unknown stream": {pass(ip4(bpf.Download, router4, protoTCP), tcp(bpf.Download, 40000, 53), gopacket.Payload(withLength(m))), skBuff{}},
		"to a group":             {build(t, toGroup, ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 53), gopacket.Payload(m)), skBuff{}},
	} {
		b.hear(c.frame, c.of)
		// To a group the router may answer as it likes; multicast DNS has a port of its own.
		if got := b.opened(); (got != "") != (name == "to a group") {
			t.Errorf("an answer %s opened %q", name, got)
		}
		b.forget()
	}
	b.hear(datagram(t, m), skBuff{})
	if got := b.opened(); got != named4 {
		t.Errorf("an answer to a connected client opened %q", got)
	}
}

func withLength(m []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
}

// TestGardenOverTCP: messages are read where they begin. A client chooses the size of
// segments, and has a part in what is in answers to its own questions.
func TestGardenOverTCP(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	const first = 0xffff_fff0
	segment := func(seq uint32, syn bool, payload []byte) {
		t.Helper()
		h := tcp(bpf.Download, 40000, 53)
		h.Seq, h.SYN, h.PSH = seq, syn, len(payload) > 0
		b.hear(build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, router4, protoTCP), h, gopacket.Payload(payload)), skBuff{})
	}
	whole := withLength(message(t, exactName, address(exactName, 900, named4)))
	other := withLength(message(t, "www."+suffixName, address(suffixName, 900, named6)))
	long := message(t, exactName, rr(exactName, 60, &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 250), strings.Repeat("y", 250)}}), address(exactName, 900, named4))
	for _, c := range []struct {
		name     string
		segments [][]byte
		want     string
	}{
		{"one message", [][]byte{whole}, named4},
		{"two messages", [][]byte{whole, other}, named4 + " " + named6},
		{"two in a segment", [][]byte{slices.Concat(whole, other)}, named4},
		{"a message in pieces", [][]byte{whole[:40], whole[40:], other}, ""},
		{"a message behind the length", [][]byte{whole[:2], whole[2:]}, ""},
		{"a message in the middle of another", [][]byte{withLength(long)[:40], whole}, ""},
		{"the beginning of a message", [][]byte{withLength(message(t, exactName, address(exactName, 900, named4), address(exactName, 900, named6)))[:47]}, named4},
	} {
		b.forget()
		segment(first, true, nil)
		seq := uint32(first + 1 - 1<<32 + 1<<32)
		for _, payload := range c.segments {
			segment(seq, false, nil) // an acknowledgement
			segment(seq, false, payload)
			seq += uint32(len(payload))
		}
		if got := b.opened(); got != c.want {
			t.Errorf("%s: opened %q, want %q", c.name, got, c.want)
		}
	}
}

// TestGardenLongAnswers: all records are read, and what is not is counted.
func TestGardenLongAnswers(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	var records []dnsmessage.Resource
	for i := range 200 { // as many as a frame of a run may have
		records = append(records, address(exactName, 900, fmt.Sprintf("198.18.%d.%d", i/256, i%256)))
	}
	uncompressed := message(t, exactName)
	uncompressed[7] = 43
	for i := range 43 {
		uncompressed = slices.Concat(uncompressed, []byte("\x03pay\x07example\x00\x00\x01\x00\x01\x00\x00\x03\x84\x00\x04"), []byte{198, 19, 0, byte(i)})
	}
	loop := slices.Concat(message(t, exactName), []byte{0xc0, 29, 0, 1, 0, 1, 0, 0, 3, 0x84, 0, 4, 198, 19, 1, 1})
	loop[7] = 1
	for _, c := range []struct {
		name    string
		message []byte
		opened  int
		partial uint64
	}{
		{"200 records", message(t, exactName, records...), 200, 0},
		{"43 records without compression", uncompressed, 43, 0},
		{"more records than there are", func() []byte { m := message(t, exactName, records[:2]...); m[6], m[7] = 1, 0; return m }(), 2, 1},
		{"a record that is cut", message(t, exactName, records[:3]...)[:29+16*2+14], 2, 1},
		{"a record longer than the message", func() []byte { m := message(t, exactName, records[:2]...); m[29+11] = 200; return m }(), 0, 1},
		{"a name that points to itself", loop, 1, 0},
		{"a name that is no name", func() []byte { m := message(t, exactName, records[:2]...); m[29+16] = 0x80; return m }(), 1, 1},
		{"a truncated answer", func() []byte { m := message(t, exactName, records[:2]...); m[2] |= 2; return m }(), 2, 0},
		{"labels without end", slices.Concat(func() []byte { m := message(t, exactName); m[7] = 1; return m }(), slices.Repeat([]byte{1, 'a'}, 1500)), 0, 1},
	} {
		b.forget()
		before := b.counts()
		b.hear(datagram(t, c.message), skBuff{})
		after := b.counts()
		if got := len(b.open()); got != c.opened || after[3]-before[3] != c.partial || after[0]-before[0] != 1 {
			t.Errorf("%s: opened %d, want %d; %d partial, want %d; %d answers", c.name, got, c.opened, after[3]-before[3], c.partial, after[0]-before[0])
		}
	}
	for n := range 29 { // cut in the header or the question
		b.hear(datagram(t, message(t, exactName, records[0])[:n]), skBuff{})
	}
}

// TestGardenThreeHundredRecords: as many in one message are all read where the frame has them
// all; where it has not, those in it are, and the answer counts as partial.
func TestGardenThreeHundredRecords(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	const records = 300
	var all []dnsmessage.Resource
	for i := range records {
		all = append(all, address(exactName, 900, fmt.Sprintf("198.18.%d.%d", i/256, i%256)))
	}
	// Of the root, with no data, so that a frame of a run has room for them.
	short := message(t, exactName)
	binary.BigEndian.PutUint16(short[6:], records)
	for range records - 10 {
		short = append(short, 0, 0, 16, 0, 1, 0, 0, 3, 0x84, 0, 0)
	}
	for i := range byte(10) {
		short = append(short, 0, 0, 1, 0, 1, 0, 0, 3, 0x84, 0, 4, 198, 19, 0, i)
	}
	b.hear(datagram(t, short), skBuff{})
	if got, counts := len(b.open()), b.counts(); got != 10 || counts[3] != 0 {
		t.Errorf("the last 10 of %d records opened %d addresses, %d answers partial", records, got, counts[3])
	}

	b.forget()
	long := withLength(message(t, exactName, all...))
	segment := func(seq uint32, syn bool, payload []byte) {
		h := tcp(bpf.Download, 40000, 53)
		h.Seq, h.SYN = seq, syn
		b.hear(build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, router4, protoTCP), h, gopacket.Payload(payload)), skBuff{gsoSize: 1460})
	}
	segment(100, true, nil)
	const cut = 3500
	whole := (cut - 2 - len(message(t, exactName))) / 16
	segment(101, false, long[:cut])
	segment(101+cut, false, long[cut:])
	if got, counts := len(b.open()), b.counts(); got != whole || counts[1] != uint64(10+whole) || counts[3] == 0 {
		t.Errorf("the first %d of %d bytes opened %d addresses, want %d; counts %v", cut, len(long), got, whole, counts)
	}
}

// TestGardenManyHints: each HTTPS record takes tail calls, of which a frame has 33: what is
// behind the last one is left, and the answer counts as partial.
func TestGardenManyHints(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	for records, whole := range map[int]bool{15: true, 16: false, 17: false, 60: false} {
		m := message(t, exactName)
		binary.BigEndian.PutUint16(m[6:], uint16(records+1))
		for range records {
			m = append(m, 0, 0, 65, 0, 1, 0, 0, 3, 0x84, 0, 3, 0, 1, 0)
		}
		m = append(m, 0, 0, 1, 0, 1, 0, 0, 3, 0x84, 0, 4, 198, 19, 0, 1)
		b.forget()
		before := b.counts()[3]
		b.hear(datagram(t, m), skBuff{})
		if open, partial := len(b.open()), b.counts()[3]-before; (open == 1) != whole || (partial == 0) != whole {
			t.Errorf("%d HTTPS records: %d addresses behind them opened, partial %d", records, open, partial)
		}
	}
}

// TestGardenTraffic: a device that did not pay reaches an open address on some ports, at a
// speed, in both directions; and the errors about it reach the device.
func TestGardenTraffic(t *testing.T) {
	for _, answered := range []bool{false, true} {
		c, refused, unreachable, ended := dataplane.Captive{}, noRule, noRule, noRule
		if answered {
			c, refused, unreachable, ended = testCaptive(), answerReset, answerUnreachable, noRule
		}
		b := newGardenTestbed(t, c, testGarden())
		b.hear(datagram(t, message(t, exactName, address(exactName, 900, named4), address(exactName, 900, named6))), skBuff{})
		frame := func(dir int, peer string, protocol layers.IPProtocol, port uint16) []byte {
			link, network := l2(dir, etherIPv4), layer(ip4(dir, peer, protocol))
			if netip.MustParseAddr(peer).Is6() {
				link, network = l2(dir, etherIPv6), ip6(dir, peer, protocol)
			}
			if protocol == protoTCP {
				segment := tcp(dir, 40000, layers.TCPPort(port))
				segment.SYN, segment.ACK = dir == bpf.Upload, dir == bpf.Download
				return build(t, link, network, segment, blob(100))
			}
			return build(t, link, network, udp(dir, 40000, layers.UDPPort(port)), blob(100))
		}
		for _, peer := range []string{named4, named6} {
			for _, dir := range []int{bpf.Upload, bpf.Download} {
				other, datagrams := refused, unreachable
				if dir == bpf.Download {
					other, datagrams = ended, noRule
				}
				for _, c := range []struct {
					protocol layers.IPProtocol
					port     uint16
					want     bpf.HotspotReason
				}{{protoTCP, 443, passGarden}, {protoTCP, 80, passGarden}, {protoUDP, 443, passGarden}, {protoTCP, 22, other}, {protoUDP, 53, datagrams}, {protoTCP, 0, other}} {
					if got, _ := b.ask(dir, frame(dir, peer, c.protocol, c.port)); got != c.want {
						t.Errorf("answered %t: %s %d of %s, %v: %s, want %s", answered, bpf.DirectionLabels[dir], c.port, peer, c.protocol, bpf.ReasonLabels[got], bpf.ReasonLabels[c.want])
					}
				}
			}
		}
		if got, _ := b.ask(bpf.Upload, frame(bpf.Upload, server4, protoTCP, 22)); got != refused {
			t.Errorf("an address that no name has: %s", bpf.ReasonLabels[got])
		}
		quoted := build(t, ip4(bpf.Upload, named4, protoTCP), tcp(bpf.Upload, 40000, 443))
		tooBig := func(quoted []byte) []byte {
			return build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, server4, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)}, gopacket.Payload(quoted))
		}
		if got, _ := b.ask(bpf.Download, tooBig(quoted)); got != preauth {
			t.Errorf("fragmentation needed: %s", bpf.ReasonLabels[got])
		}
		if got, _ := b.ask(bpf.Download, tooBig(build(t, ip4(bpf.Upload, named4, protoTCP), tcp(bpf.Upload, 40000, 22)))); got != noRule {
			t.Errorf("fragmentation needed on another port: %s", bpf.ReasonLabels[got])
		}
	}
}

// TestGardenEndsAndLasts: an address is closed in time, and one in use stays open, for a day.
func TestGardenEndsAndLasts(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	now := uint32(kernel.BootNow() / 1e9)
	key := bpf.AddrToWire(netip.MustParseAddr(named4))
	frame := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, named4, protoTCP), tcp(bpf.Upload, 40000, 443))
	for name, c := range map[string]struct {
		is    bpf.HotspotGardenAddr
		want  bpf.HotspotReason
		until uint32
	}{
		"over":             {bpf.HotspotGardenAddr{UntilS: now, NamedS: now - 600}, noRule, now},
		"used":             {bpf.HotspotGardenAddr{UntilS: now + 30, NamedS: now - 6000}, passGarden, now + 600},
		"long open":        {bpf.HotspotGardenAddr{UntilS: now + 6000, NamedS: now}, passGarden, now + 6000},
		"used for a day":   {bpf.HotspotGardenAddr{UntilS: now + 30, NamedS: now - 86400 + 100}, passGarden, now + 100},
		"the router's now": {bpf.HotspotGardenAddr{UntilS: now + 30, NamedS: now}, noRule, now + 30},
	} {
		key, frame := key, frame
		if name == "the router's now" {
			key = bpf.AddrToWire(netip.MustParseAddr(router4))
			frame = build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 40000, 443))
		}
		b.put(b.GardenAddrs, key, c.is)
		if got, _ := b.ask(bpf.Upload, frame); got != c.want {
			t.Errorf("%s: %s, want %s", name, bpf.ReasonLabels[got], bpf.ReasonLabels[c.want])
		}
		var is bpf.HotspotGardenAddr
		check(t, b.GardenAddrs.Lookup(key, &is))
		if is.UntilS < c.until || is.UntilS > c.until+2 {
			t.Errorf("%s: open until %d, want %d", name, is.UntilS, c.until)
		}
	}
}

// TestGardenSpeed: a device has its speed in both directions together, and takes nothing of
// others'.
func TestGardenSpeed(t *testing.T) {
	b := newGardenTestbed(t, testCaptive(), testGarden())
	b.hear(datagram(t, message(t, exactName, address(exactName, 900, named4))), skBuff{})
	count := func(client dataplane.MAC) (passed int) {
		for i := range 200 {
			link := l2(i%2, etherIPv4)
			if i%2 == bpf.Upload {
				link.SrcMAC = client[:]
			} else {
				link.DstMAC = client[:]
			}
			reason, _ := b.ask(i%2, build(t, link, ip4(i%2, named4, protoTCP), tcp(i%2, 40000, 443), blob(1460)))
			switch reason {
			case passGarden:
				passed++
			case gardenDrop:
			default:
				t.Fatal(bpf.ReasonLabels[reason])
			}
		}
		return passed
	}
	start := time.Now()
	one := count(clientMAC)
	depth := 64_000
	if least, most := depth/1500, (depth+int(time.Since(start).Seconds()*125_000))/1500+2; one < least || one > most {
		t.Errorf("%d packets of 1500 bytes passed, want %d to %d", one, least, most)
	}
	if other := count(neighborMAC); other < depth/1500 {
		t.Errorf("%d packets of another device passed", other)
	}
}

// TestGardenMemory holds what the kernel keeps for names.
func TestGardenMemory(t *testing.T) {
	b := newGardenTestbed(t, dataplane.Captive{}, testGarden())
	total := uint64(0)
	for name, m := range map[string]*ebpf.Map{"garden_addrs": b.GardenAddrs, "dns_streams": b.DnsStreams, "garden_names": b.GardenNames, "garden_counts": b.GardenCounts} {
		info, err := m.Info()
		check(t, err)
		bytes, ok := info.Memlock()
		if !ok {
			t.Skip("the kernel does not say")
		}
		t.Logf("%s: %d bytes", name, bytes)
		total += bytes
	}
	const most = 1 << 20
	if t.Logf("%d bytes in all", total); total > most {
		t.Errorf("%d bytes, want at most %d", total, most)
	}
}

// TestGardenVerifierTime holds how long the kernel takes to check the programs.
func TestGardenVerifierTime(t *testing.T) {
	b := newGardenTestbed(t, testCaptive(), testGarden())
	programs, err := newGarden(b.byName())
	check(t, err)
	defer func() { _ = programs.Close() }()
	captive, err := newCaptive(b.byName(), testCaptive(), testGarden(), testEpoch, bpf.CaptiveNews)
	check(t, err)
	defer func() { _ = captive.Close() }()
	b.verifies(programs.GardenAnswer, programs.GardenRecords, programs.GardenHints, captive.CaptiveFromClient, captive.CaptiveToClient)
}
