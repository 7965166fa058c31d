// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// segment is a TCP segment of the client's connection to the server.
type segment struct {
	dir      int
	v6       bool
	syn, fin bool
	rst      bool
	noACK    bool
	ack      uint32
	window   uint16
	options  []layers.TCPOption
	payload  int
	fragment bool
	optional bool // has an IP option
}

// frame is the segment on the wire, with its checksums.
func (s segment) frame(t testing.TB) []byte {
	t.Helper()
	head := tcp(s.dir, 4000, 443)
	head.SYN, head.FIN, head.RST, head.ACK = s.syn, s.fin, s.rst, !s.noACK
	head.Ack, head.Window, head.Options = s.ack, s.window, s.options
	parts := []layer{l2(s.dir, etherIPv4), nil, head, blob(s.payload)}
	var err error
	if s.v6 {
		ip := ip6(s.dir, server6, protoTCP)
		parts[0], parts[1], err = l2(s.dir, etherIPv6), ip, head.SetNetworkLayerForChecksum(ip)
	} else {
		ip := ip4(s.dir, server4, protoTCP)
		if s.fragment {
			ip.Flags = layers.IPv4MoreFragments
		}
		if s.optional {
			ip.Options = []layers.IPv4Option{{OptionType: 1}}
		}
		parts[1], err = ip, head.SetNetworkLayerForChecksum(ip)
	}
	if err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, parts...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func option(kind layers.TCPOptionKind, data ...byte) layers.TCPOption {
	return layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data}
}

var (
	optionNOP  = layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	optionMSS  = option(layers.TCPOptionKindMSS, 5, 180)
	optionTime = option(layers.TCPOptionKindTimestamps, make([]byte, 8)...)
	optionMD5  = option(19, make([]byte, 16)...)
	optionAO   = option(29, make([]byte, 14)...)
)

// offer are the options of a SYN as Linux has them; of a negative scale, without it.
func offer(scale int) []layers.TCPOption {
	all := []layers.TCPOption{optionMSS, option(layers.TCPOptionKindSACKPermitted), optionTime}
	if scale >= 0 {
		all = append(all, optionNOP, option(layers.TCPOptionKindWindowScale, byte(scale)))
	}
	return all
}

// sack says that what is up to end has arrived too.
func sack(begin, end uint32) layers.TCPOption {
	return option(layers.TCPOptionKindSACK, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, begin), end)...)
}

// clampBed is a fairBed with a connection whose data goes in its direction.
type clampBed struct {
	*fairBed
	v6 bool
}

func newClampBed(t testing.TB, dir int) *clampBed {
	withClamp(t)
	return &clampBed{fairBed: newFairBed(t, dir)}
}

// again starts anew, for a part of the test.
func (b *clampBed) again(t testing.TB) {
	b.t = t
	b.start()
}

// through sends a frame and returns it as it came out. It must pass.
func (b *clampBed) through(frame []byte, dir int, gsoSize uint32) []byte {
	b.t.Helper()
	run := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: skBuff{gsoSize: gsoSize}}
	ret, err := b.program(dir).Run(&run)
	if err != nil || ret != actUnspec {
		b.t.Fatalf("the frame did not pass: %d, %v", ret, err)
	}
	return run.DataOut
}

// same sends a segment that nothing may be changed of.
func (b *clampBed) same(s segment) {
	b.t.Helper()
	s.v6 = b.v6
	frame := s.frame(b.t)
	if out := b.through(frame, s.dir, 0); !bytes.Equal(frame, out) {
		b.t.Errorf("%+v was changed:\n% x\n% x", s, frame, out)
	}
}

// window sends a segment, and returns the window it came out with. Nothing else has
// changed, and the checksum is what the sender would have made it.
func (b *clampBed) window(s segment) int {
	b.t.Helper()
	s.v6 = b.v6
	out := b.through(s.frame(b.t), s.dir, 0)
	network := 20
	if s.v6 {
		network = 40
	}
	s.window = binary.BigEndian.Uint16(out[14+network+14:])
	if want := s.frame(b.t); !bytes.Equal(want, out) {
		b.t.Fatalf("the frame with window %d:\n% x\nwant\n% x", s.window, out, want)
	}
	return int(s.window)
}

// connect is a handshake, of the options of both sides. The receiver of the data asks.
func (b *clampBed) connect(receiver, sender []layers.TCPOption) {
	b.t.Helper()
	b.same(segment{dir: 1 - b.dir, syn: true, noACK: true, window: 65535, options: receiver})
	b.same(segment{dir: b.dir, syn: true, window: 65535, options: sender})
}

// data fills the flow's queue with packets of 1500 bytes; it returns how many passed.
func (b *clampBed) data(packets int) (passed int) {
	b.t.Helper()
	frame := segment{dir: b.dir, v6: b.v6, window: 500, payload: 1460}
	if b.v6 {
		frame.payload = 1440
	}
	built := frame.frame(b.t)
	for range packets {
		ok, err := b.send(b.dir, built, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		if ok {
			passed++
		}
	}
	return passed
}

// ack is an acknowledgement of the data.
func (b *clampBed) ack() segment {
	return segment{dir: 1 - b.dir, ack: 1000, window: 65535, options: []layers.TCPOption{optionNOP, optionNOP, optionTime}}
}

// clampedDepth is how long the queue of one flow is to get, in bytes.
const clampedDepth = bpf.BurstFloorByte * 5 / 4

// checkRoom compares a window with the room beside as many packets.
func checkRoom(t testing.TB, window, scale, packets int) {
	t.Helper()
	room := float64(clampedDepth-packets*1500) * 1448 / 1500
	if got := float64(window << scale); got < room*0.99 || got > room*1.01+float64(int(1)<<scale) {
		t.Errorf("window %d << %d after %d packets, want %.0f bytes", window, scale, packets, room)
	}
}

// TestClampScale: a window is the room in the queue, in units of its sender's scale, if
// both sides have one.
func TestClampScale(t *testing.T) {
	for dir := range bpf.Directions {
		b := newClampBed(t, dir)
		for _, test := range []struct{ receiver, sender, scale int }{
			{7, 9, 7}, {9, 2, 9}, {0, 7, 0}, {2, 0, 2}, {14, 14, 14}, {15, 0, 14}, {7, -1, 0}, {-1, 7, 0}, {-1, -1, 0},
		} {
			for _, b.v6 = range []bool{false, true} {
				t.Run(fmt.Sprintf("%+v %s v6=%t", test, bpf.DirectionLabels[dir], b.v6), func(t *testing.T) {
					b.again(t)
					b.connect(offer(test.receiver), offer(test.sender))
					for _, packets := range []int{20, 20} {
						b.data(packets)
						checkRoom(t, b.window(b.ack()), test.scale, int(b.account(7).Counter[dir].Packets-1))
					}
				})
			}
		}
	}
}

// TestClampAnyPart: acknowledgements on data, super-packets and FINs count too, and a
// handshake that the sender of the data began.
func TestClampAnyPart(t *testing.T) {
	b := newClampBed(t, bpf.Upload)
	b.same(segment{dir: b.dir, syn: true, noACK: true, window: 65535, options: offer(7)})
	b.same(segment{dir: 1 - b.dir, syn: true, window: 65535, options: offer(2)})
	b.data(40)
	for _, change := range []func(*segment){
		func(s *segment) { s.payload = 600 },
		func(s *segment) { s.fin = true },
		func(s *segment) { s.options = nil },
	} {
		s := b.ack()
		change(&s)
		checkRoom(t, b.window(s), 2, 40)
	}
	s := b.ack()
	s.payload = 2500
	out := b.through(s.frame(t), s.dir, 1448)
	s.window = binary.BigEndian.Uint16(out[14+20+14:])
	if want := s.frame(t); s.window == 65535 || !bytes.Equal(out, want) {
		t.Errorf("a super-packet:\n% x\nwant\n% x", out, want)
	}
}

// TestClampFull: without room a window is one unit, and with what was received out of
// order as much more, so that a loss can be mended. It is never made larger.
func TestClampFull(t *testing.T) {
	const scale = 4
	b := newClampBed(t, bpf.Download)
	b.connect(offer(scale), offer(7))
	first := b.data(100)
	b.window(b.ack())
	// The queue of a clamped flow is longer by a quarter, and by two packets.
	if all := first + b.data(100); all > clampedDepth/1500+3 || all < clampedDepth/1500+1 {
		t.Errorf("%d packets of a clamped flow at once, want %d", all, clampedDepth/1500+2)
	}
	for _, test := range []struct {
		name    string
		options []layers.TCPOption
		window  uint16
		want    int
	}{
		{"nothing", nil, 65535, 1},
		{"time stamps", b.ack().options, 65535, 1},
		{"SACK", []layers.TCPOption{optionNOP, optionNOP, sack(1500, 2600)}, 65535, (1601 + 15) / 16},
		{"SACK after time stamps", []layers.TCPOption{optionNOP, optionNOP, optionTime, optionNOP, optionNOP, sack(1500, 2600)}, 65535, (1601 + 15) / 16},
		{"two blocks", []layers.TCPOption{optionNOP, optionNOP, sack(9000, 17000), sack(1500, 2600)}, 65535, (16001 + 15) / 16},
		{"what was received twice", []layers.TCPOption{optionNOP, optionNOP, sack(500, 900)}, 65535, 1},
		{"no larger", nil, 1, 1},
		{"closed", nil, 0, 0},
	} {
		s := b.ack()
		s.options, s.window = test.options, test.window
		if got := b.window(s); got != test.want {
			t.Errorf("%s: window %d, want %d", test.name, got, test.want)
		}
	}
}

// TestNotClamped: frames that nothing may be changed of.
func TestNotClamped(t *testing.T) {
	connected := func(b *clampBed) { b.connect(offer(7), offer(7)) }
	signed := func(o layers.TCPOption) []layers.TCPOption { return []layers.TCPOption{optionMSS, o} }
	b := newClampBed(t, bpf.Download)
	for _, test := range []struct {
		name    string
		connect func(*clampBed)
		packets int
		change  func(*segment)
	}{
		{"a flow that wants little", connected, 2, nil},
		{"a handshake that was not seen", func(*clampBed) {}, 40, nil},
		{"a SYN alone", func(b *clampBed) { b.same(segment{dir: bpf.Upload, syn: true, noACK: true, options: offer(7)}) }, 40, nil},
		{"an answer alone", func(b *clampBed) { b.same(segment{dir: bpf.Download, syn: true, options: offer(7)}) }, 40, nil},
		{"MD5 in the SYN", func(b *clampBed) { b.connect(signed(optionMD5), offer(7)) }, 40, nil},
		{"MD5 in the answer", func(b *clampBed) { b.connect(offer(7), signed(optionMD5)) }, 40, nil},
		{"AO", func(b *clampBed) { b.connect(signed(optionAO), signed(optionAO)) }, 40, nil},
		{"a long round trip", func(b *clampBed) { b.slowHandshake(11) }, 40, nil},
		{"a reset", connected, 40, func(s *segment) { s.rst = true }},
		{"no acknowledgement", connected, 40, func(s *segment) { s.noACK = true }},
		{"an answer to a SYN", connected, 40, func(s *segment) { s.syn = true }},
		{"a fragment", connected, 40, func(s *segment) { s.fragment = true }},
		{"IP options", connected, 40, func(s *segment) { s.optional = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.again(t)
			test.connect(b)
			b.data(test.packets)
			s := b.ack()
			if test.change != nil {
				test.change(&s)
			}
			b.same(s)
		})
	}
}

// slowHandshake is one whose answer comes some turns of 17 ms late.
func (b *clampBed) slowHandshake(turns uint32) {
	const age, step = 0xfc0, 0x40
	b.same(segment{dir: 1 - b.dir, syn: true, noACK: true, options: offer(7)})
	var f bpf.HotspotFlows
	if err := b.Flows.Lookup(b.counter(7), &f); err != nil {
		b.t.Fatal(err)
	}
	for i, entry := range f.Fair[b.dir].Scales {
		if entry != 0 {
			f.Fair[b.dir].Scales[i] = entry&^age | (entry-turns*step)&age
		}
	}
	b.put(b.Flows, b.counter(7), &f)
	b.same(segment{dir: b.dir, syn: true, options: offer(7)})
}

// TestClampShortRoundTrip: the answer of another turn, but not a late one.
func TestClampShortRoundTrip(t *testing.T) {
	b := newClampBed(t, bpf.Download)
	b.slowHandshake(7)
	b.data(40)
	checkRoom(t, b.window(b.ack()), 7, 40)
}

// TestClampOff: the fair limiter alone changes nothing.
func TestClampOff(t *testing.T) {
	withFair(t)
	b := &clampBed{fairBed: newFairBed(t, bpf.Download)}
	b.connect(offer(7), offer(7))
	b.data(40)
	b.same(b.ack())
	if k := b.queues(); k.Greedy != 0 || k.Clamped != 0 || k.Scales != [64]uint32{} {
		t.Errorf("something was kept: %+v", k)
	}
}

// TestClampOneWay: a speed in one direction clamps that direction alone.
func TestClampOneWay(t *testing.T) {
	for dir := range bpf.Directions {
		b := newClampBed(t, dir)
		rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, DownBPS: bedBPS}
		if dir == bpf.Upload {
			rule.DownBPS, rule.UpBPS = 0, bedBPS
		}
		b.grant(clientMAC, rule)
		b.connect(offer(7), offer(7))
		b.data(40)
		checkRoom(t, b.window(b.ack()), 7, 40)
		back := b.ack()
		back.dir = b.dir
		b.same(back)
	}
}

// TestClampScalesAreReplaced: scales are kept of as many as there is room for, and of
// those of which the last were heard last.
func TestClampScalesAreReplaced(t *testing.T) {
	b := newClampBed(t, bpf.Download)
	frame := segment{dir: bpf.Upload, syn: true, noACK: true, options: offer(7)}.frame(t)
	for port := range uint16(2000) {
		binary.BigEndian.PutUint16(frame[34:], 5000+port)
		b.through(frame, bpf.Upload, 0)
	}
	b.connect(offer(3), offer(7))
	b.data(40)
	kept := 0
	for _, entry := range b.queues().Scales {
		if entry&0xf != 0 {
			kept++
		}
	}
	if kept != 64 {
		t.Errorf("%d scales are kept, want 64", kept)
	}
	checkRoom(t, b.window(b.ack()), 3, 40)
}

// TestClampCutHeaders: headers that are said to be longer than the packet, or shorter
// than any, are left as they are; and so is what follows the packet.
func TestClampCutHeaders(t *testing.T) {
	b := newClampBed(t, bpf.Download)
	b.connect(offer(7), offer(7))
	b.data(40)
	whole := b.ack().frame(t)
	for length := 14 + 20; length < len(whole); length++ {
		cut := bytes.Clone(whole[:length])
		binary.BigEndian.PutUint16(cut[16:], uint16(length-14))
		if out := b.through(cut, bpf.Upload, 0); !bytes.Equal(cut, out) {
			t.Errorf("cut to %d bytes, it was changed", length)
		}
	}
	for words := range 16 {
		odd := bytes.Clone(whole)
		odd[14+20+12] = byte(words << 4)
		if changed := !bytes.Equal(odd, b.through(odd, bpf.Upload, 0)); changed != (words >= 5 && words <= 8) {
			t.Errorf("a header of %d words: changed = %t", words, changed)
		}
	}
}

// TestClampOddOptions: options that make no sense do no harm.
func TestClampOddOptions(t *testing.T) {
	nops := make([]layers.TCPOption, 40)
	for i := range nops {
		nops[i] = optionNOP
	}
	b := newClampBed(t, bpf.Upload)
	for _, options := range [][]layers.TCPOption{
		nops, nil, {{OptionType: 200, OptionLength: 2}}, {option(3)}, {option(3, 255)}, {option(8, make([]byte, 38)...)},
	} {
		b.again(t)
		b.connect(options, offer(7))
		b.data(40)
		if got := b.window(b.ack()); got == 65535 || got == 0 {
			t.Errorf("%v: window %d", options, got)
		}
	}
	for length := range 2 { // of an option: none can be that short
		b.again(t)
		syn := segment{dir: bpf.Download, syn: true, noACK: true, options: []layers.TCPOption{option(200, 0, 0)}}.frame(t)
		syn[14+20+20+1] = byte(length)
		b.through(syn, bpf.Download, 0)
	}
}
