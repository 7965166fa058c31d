// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// A run of a program takes frames of a page at most, linear ones, and sets no
// VLAN tag beside the frame. A tap takes super-packets of 64 KB in pieces, as a
// virtual machine's do, and the kernel itself finds what their segments are.

// virtioHeader is struct virtio_net_hdr (linux/virtio_net.h).
type virtioHeader struct {
	Flags, Type             uint8
	HeaderBytes, SegmentLen uint16
	ChecksumAt, ChecksumOff uint16
}

const virtioHeaderBytes = 10

// Kinds of super-packets in it.
const (
	virtioTCP4 = 1
	virtioTCP6 = 4
	virtioUDP  = 5 // since Linux 6.2
)

// tap is an interface with the programs on its hooks, alone in a network
// namespace. What is written to it comes in, what the kernel sends can be read.
type tap struct {
	*testbed
	file  *os.File
	index int
}

// newTap moves the goroutine of the test to a network namespace, with its thread:
// the thread ends with the test.
func newTap(t *testing.T, b *testbed) *tap {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	request, err := unix.NewIfreq("tap0")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "tap0")
	t.Cleanup(func() { _ = file.Close() })
	return &tap{testbed: b, file: file, index: furnishTap(t, b)}
}

// furnishTap attaches the programs, and brings the interface up without anything
// that the kernel would send by itself.
func furnishTap(t *testing.T, b *testbed) (index int) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/tap0/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	dev, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	index = dev.Attrs().Index
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.QdiscAdd(attach.ClsactQdisc(index)))
	for dir, parent := range [bpf.Directions]uint32{bpf.Upload: netlink.HANDLE_MIN_INGRESS, bpf.Download: netlink.HANDLE_MIN_EGRESS} {
		must(netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:           b.program(dir).FD(),
			Name:         "test",
			DirectAction: true,
		}))
	}
	must(netlink.LinkSetUp(dev))
	return index
}

// receive lets a frame come in, and returns what became of it.
func (p *tap) receive(header virtioHeader, frame []byte) outcome {
	p.t.Helper()
	before := p.stats()
	if _, err := p.file.Write(p.withHeader(header, frame)); err != nil {
		p.t.Fatal(err)
	}
	return p.only(bpf.Upload, before)
}

// transmit sends a frame, and returns what became of it.
func (p *tap) transmit(header virtioHeader, frame []byte) outcome {
	p.t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		p.t.Fatal(err)
	}
	before := p.stats()
	to := &unix.SockaddrLinklayer{Ifindex: p.index, Protocol: binary.NativeEndian.Uint16(frame[12:])}
	// ENOBUFS says that the frame was dropped.
	if err := unix.Sendto(fd, p.withHeader(header, frame), 0, to); err != nil && err != unix.ENOBUFS {
		p.t.Fatal(err)
	}
	return p.only(bpf.Download, before)
}

func (p *tap) withHeader(header virtioHeader, frame []byte) []byte {
	var buffer bytes.Buffer
	if err := binary.Write(&buffer, binary.NativeEndian, header); err != nil {
		p.t.Fatal(err)
	}
	return append(buffer.Bytes(), frame...)
}

// sent reads what came out of the tap: packets, and bytes of IP.
func (p *tap) sent(packets uint64) (bytes uint64) {
	p.t.Helper()
	buffer := make([]byte, 1<<17)
	if err := p.file.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	for range packets {
		n, err := p.file.Read(buffer)
		if err != nil {
			p.t.Fatalf("after %d bytes: %v", bytes, err)
		}
		bytes += uint64(n - virtioHeaderBytes - 14)
	}
	if err := p.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		p.t.Fatal(err)
	}
	if n, err := p.file.Read(buffer); err == nil {
		p.t.Fatalf("after %d bytes and %d packets, another of %d", bytes, packets, n)
	}
	return bytes
}

// bigCases are the super-packets that the kernel segments for us.
func bigCases() map[string]virtioHeader {
	at := func(kind uint8, l4, headers, checksum uint16) virtioHeader {
		return virtioHeader{Flags: 1, Type: kind, HeaderBytes: 14 + l4 + headers, ChecksumAt: 14 + l4, ChecksumOff: checksum}
	}
	return map[string]virtioHeader{
		"TCP":                     at(virtioTCP4, 20, 20, 16),
		"TCP with options":        at(virtioTCP4, 20, 32, 16),
		"TCP over IPv6":           at(virtioTCP6, 40, 20, 16),
		"TCP behind IPv6 options": at(virtioTCP6, 48, 20, 16),
		"UDP":                     at(virtioUDP, 20, 8, 6),
		"UDP over IPv6":           at(virtioUDP, 40, 8, 6),
	}
}

// TestSuperPacketsOnTheWire: what is charged is what the kernel's own segments add
// up to, and the counter never says less than the wire.
func TestSuperPacketsOnTheWire(t *testing.T) {
	headers := bigCases()
	b := newTestbed(t, false)
	for _, kind := range superCases() {
		header, ok := headers[kind.name]
		if !ok || header.Type == virtioUDP && !kernel.AtLeast(kernel.Release(), 6, 2) {
			continue
		}
		for _, n := range []struct{ payload, size int }{{60_000, 1400}, {1401, 1400}, {2800, 1400}, {40_000, 536}} {
			t.Run(fmt.Sprintf("%s/%d by %d", kind.name, n.payload, n.size), func(t *testing.T) {
				b := b.clean(t)
				b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
				header.SegmentLen = uint16(n.size)
				testOnTheWire(newTap(t, b), kind, header, n.payload)
			})
		}
	}
}

func testOnTheWire(p *tap, kind superCase, header virtioHeader, payload int) {
	t := p.t
	bytes, packets := segmented(kind.headers, payload, int(header.SegmentLen))
	want := outcome{forwarded, bytes}
	if got := p.transmit(header, kind.frame(t, bpf.Download, payload)); got != want {
		t.Errorf("sent: %v, want %v", got, want)
	}
	if got := p.sent(packets); got != bytes {
		t.Errorf("the kernel sent %d bytes, charged were %d", got, bytes)
	}
	for _, linear := range []uint16{header.HeaderBytes, 14, 0} { // bytes that are not in pages
		header.HeaderBytes = linear
		if got := p.receive(header, kind.frame(t, bpf.Upload, payload)); got != want {
			t.Errorf("received with %d bytes linear: %v, want %v", linear, got, want)
		}
	}
	got := p.counted(7)
	if got.DownBytes != bytes || got.DownPackets != packets || got.UpBytes != 3*bytes || got.UpPackets != 3*packets {
		t.Errorf("%+v, want %d packets, %d bytes down and three times that up", got, packets, bytes)
	}
}

// TestSuperPacketPassesSlowBucket: 64 KB pass where 64 kbit/s are allowed, and
// are paid for in full.
func TestSuperPacketPassesSlowBucket(t *testing.T) {
	const payload, size = 64_000, 1400
	b := newTestbed(t, false)
	p := newTap(t, b)
	p.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, DownBPS: 64_000})
	s := mustSpeed(t, 64_000)
	kind, header := superCases()[0], bigCases()["TCP"]
	header.SegmentLen = size
	frame := kind.frame(t, bpf.Download, payload)
	p.setBucket(7, bpf.Download, s, s.BurstNs-gcra{speed: s}.cost(2000))

	bytes, packets := segmented(kind.headers, payload, size)
	if got, want := p.transmit(header, frame), (outcome{forwarded, bytes}); got != want {
		t.Fatalf("%v, want %v", got, want)
	}
	if got := p.sent(packets); got != bytes {
		t.Errorf("the kernel sent %d bytes, charged were %d", got, bytes)
	}
	backlog := p.account(7).Bucket[bpf.Download].TatNs - uint64(kernel.BootNow())
	if least := s.BurstNs + (gcra{speed: s}).cost(bytes-2000) - uint64(5*time.Second); backlog < least {
		t.Errorf("%d ns of backlog, want more than %d", backlog, least)
	}
	if got := p.transmit(header, frame); got.Reason != rateDrop {
		t.Errorf("the next one: %s", bpf.ReasonLabels[got.Reason])
	}
}

// TestTagsOutsideTheFrame: the kernel takes the outer tag out of a frame before
// the programs see it. It is a tag all the same.
func TestTagsOutsideTheFrame(t *testing.T) {
	b := newTestbed(t, false)
	for _, c := range tagCases(t) {
		if c.dir != bpf.Upload || c.unpaid == malformed {
			continue // the kernel drops those before
		}
		t.Run(c.name, func(t *testing.T) {
			p := newTap(t, b.clean(t))
			unpaid, want := c.unpaid, outcome{c.paid, c.wire}
			switch c.name { // of which the programs see two, and IP behind them
			case "three tags":
				want.Wire = 128
			case "DNS with priority three times":
				unpaid, want = preauth, outcome{Reason: local}
			}
			if got := p.receive(virtioHeader{}, c.frame); got.Reason != unpaid {
				t.Errorf("no rule: %s, want %s", bpf.ReasonLabels[got.Reason], bpf.ReasonLabels[unpaid])
			}
			p.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			got := p.receive(virtioHeader{}, c.frame)
			if got.Reason != want.Reason || p.counted(7).Spent() != want.Wire {
				t.Errorf("%v and %d bytes spent, want %v", got, p.counted(7).Spent(), want)
			}
		})
	}
}

// TestCutFrames: frames of any length are judged, down to none of IP at all.
func TestCutFrames(t *testing.T) {
	b := newTestbed(t, false)
	p := newTap(t, b)
	p.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	for _, whole := range [][]byte{packet4(t, bpf.Upload, 100), build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, dns6(bpf.Upload)...)...)} {
		for n := 14; n < len(whole); n++ {
			if got := p.receive(virtioHeader{}, whole[:n]); got.Reason != malformed {
				t.Errorf("%d bytes of a frame of %d: %s", n, len(whole), bpf.ReasonLabels[got.Reason])
			}
		}
	}
	if spent := p.counted(7).Spent(); spent != 0 {
		t.Errorf("%d bytes spent", spent)
	}
}
