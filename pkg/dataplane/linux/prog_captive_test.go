// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

const (
	actRedirect = uint32(7)

	answerHandshake   = bpf.HotspotReasonANSWER_HANDSHAKE
	answerRedirect    = bpf.HotspotReasonANSWER_REDIRECT
	answerTLSAlert    = bpf.HotspotReasonANSWER_TLS_ALERT
	answerReset       = bpf.HotspotReasonANSWER_RESET
	answerUnreachable = bpf.HotspotReasonANSWER_UNREACHABLE
)

// captiveTestbed answers what may not pass.
type captiveTestbed struct{ *testbed }

// testEpoch is that of the maps, for the secrets of the answers.
const testEpoch = 42

func testCaptive() dataplane.Captive {
	return dataplane.Captive{Redirect: "http://10.0.0.1/", HTTPS: dataplane.HTTPSAlert, Unreachable: true, EndedQuiet: 90 * time.Second}
}

func newCaptiveTestbed(t *testing.T, c dataplane.Captive) captiveTestbed {
	t.Helper()
	b := newTestbed(t, false)
	b.answer(c, dataplane.Garden{}, bpf.CaptiveNews)
	return captiveTestbed{b}
}

// answer loads what answers, and what lets devices reach names.
func (b *testbed) answer(c dataplane.Captive, g dataplane.Garden, news time.Duration) {
	b.t.Helper()
	programs, err := newCaptive(b.byName(), c, g, testEpoch, news)
	check(b.t, err)
	b.t.Cleanup(func() { _ = programs.Close() })
	b.put(b.CaptiveIngress, uint32(0), programs.CaptiveFromClient)
	b.put(b.CaptiveEgress, uint32(0), programs.CaptiveToClient)
}

// ask runs the program once, and returns the reason, and what the frame became; nil
// when it was dropped.
func (b captiveTestbed) ask(dir int, frame []byte) (bpf.HotspotReason, []byte) {
	b.t.Helper()
	before := b.stats()
	action, out, err := b.exchange(dir, frame, 0)
	check(b.t, err)
	reason := b.only(dir, before).Reason
	if want := actionFor(dir, reason); action != want {
		b.t.Fatalf("%v, but the program returned %d", bpf.ReasonLabels[reason], action)
	}
	if !isAnswer(reason) {
		return reason, nil
	}
	return reason, out
}

// verified decodes an answer to the client, and fails the test unless its checksums, by
// another implementation, and lengths are right.
func verified(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	for _, l := range p.Layers() {
		if needs, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			check(t, needs.SetNetworkLayerForChecksum(p.NetworkLayer()))
		}
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Fatalf("checksums: %v %+v\n%v", err, bad, p)
	}
	if failure := p.ErrorLayer(); failure != nil {
		t.Fatalf("%v\n%v", failure.Error(), p)
	}
	link := p.LinkLayer().LinkFlow()
	if link.Dst().String() != clientMAC.String() || link.Src().String() != routerMAC.String() {
		t.Fatalf("answer from %v to %v", link.Src(), link.Dst())
	}
	return p
}

func segmentOf(t *testing.T, frame []byte) *layers.TCP {
	t.Helper()
	p := verified(t, frame)
	segment, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("no TCP: %v", p)
	}
	return segment
}

// families build a packet between the client and the server.
var families = map[string]func(t testing.TB, dir int, next layers.IPProtocol, rest ...layer) []byte{
	"IPv4": func(t testing.TB, dir int, next layers.IPProtocol, rest ...layer) []byte {
		return build(t, append([]layer{l2(dir, etherIPv4), ip4(dir, server4, next)}, rest...)...)
	},
	"IPv6": func(t testing.TB, dir int, next layers.IPProtocol, rest ...layer) []byte {
		return build(t, append([]layer{l2(dir, etherIPv6), ip6(dir, server6, next)}, rest...)...)
	},
}

// A browser that asks for any page by HTTP is led to the portal, however it goes about it.
func TestCaptiveRedirect(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	page := bpf.CaptivePage("http://10.0.0.1/")
	for family, packet := range families {
		t.Run(family, func(t *testing.T) {
			b := captiveTestbed{b.clean(t)}
			send := func(want bpf.HotspotReason, s layers.TCP, payload string) *layers.TCP {
				t.Helper()
				s.SrcPort, s.DstPort, s.Window = 40000, 80, 65535
				reason, frame := b.ask(bpf.Upload, packet(t, bpf.Upload, protoTCP, &s, gopacket.Payload(payload)))
				if reason != want {
					t.Fatalf("answered by %v, want %v", bpf.ReasonLabels[reason], bpf.ReasonLabels[want])
				}
				if frame == nil {
					return nil
				}
				a := segmentOf(t, frame)
				if a.SrcPort != 80 || a.DstPort != 40000 {
					t.Errorf("ports %d to %d", a.SrcPort, a.DstPort)
				}
				return a
			}
			isn := uint32(0xffff_fff0) // so that the sequence numbers wrap
			open := send(answerHandshake, layers.TCP{SYN: true, Seq: isn}, "")
			if !open.SYN || !open.ACK || open.Ack != isn+1 || len(open.Options) != 0 {
				t.Fatalf("%+v", open)
			}
			mss := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}
			if with := send(answerHandshake, layers.TCP{SYN: true, Seq: isn, Options: []layers.TCPOption{mss}}, ""); len(with.Options) != 1 || with.Options[0].OptionType != layers.TCPOptionKindMSS {
				t.Errorf("options %v", with.Options)
			}
			mine := open.Seq + 1
			if again := send(answerHandshake, layers.TCP{SYN: true, Seq: isn}, ""); again.Seq != open.Seq {
				t.Errorf("a repeated SYN is answered by another number")
			}
			send(noRule, layers.TCP{ACK: true, Seq: isn + 1, Ack: mine}, "")
			const request = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
			got := send(answerRedirect, layers.TCP{ACK: true, PSH: true, Seq: isn + 1, Ack: mine}, request)
			if !bytes.Equal(got.Payload, page) || !got.FIN || !got.PSH || !got.ACK || got.Seq != mine || got.Ack != isn+1+uint32(len(request)) {
				t.Fatalf("%+v", got)
			}
			behind := mine + uint32(len(page)) + 1
			// What comes after it is acknowledged: the rest of a request, and the end.
			if more := send(answerHandshake, layers.TCP{ACK: true, Seq: got.Ack, Ack: behind}, "more"); more.Seq != behind || more.Ack != got.Ack+4 || more.FIN || len(more.Payload) > 0 {
				t.Errorf("%+v", more)
			}
			if end := send(answerHandshake, layers.TCP{ACK: true, FIN: true, Seq: got.Ack, Ack: behind}, ""); end.Seq != behind || end.Ack != got.Ack+1 {
				t.Errorf("%+v", end)
			}
			// One that closes without a request.
			if end := send(answerHandshake, layers.TCP{ACK: true, FIN: true, Seq: isn + 1, Ack: mine}, ""); !end.FIN || end.Seq != mine || end.Ack != isn+2 {
				t.Errorf("%+v", end)
			}
			// Not ours: a connection of before, or a guess.
			if reset := send(answerReset, layers.TCP{ACK: true, PSH: true, Seq: 5, Ack: mine - 1}, request); !reset.RST || reset.ACK || reset.Seq != mine-1 {
				t.Errorf("%+v", reset)
			}
			send(noRule, layers.TCP{RST: true, Seq: 5}, "")
			send(noRule, layers.TCP{SYN: true, ACK: true, Seq: 5, Ack: 7}, "")
			send(noRule, layers.TCP{SYN: true, FIN: true, Seq: 5}, "")
			send(noRule, layers.TCP{FIN: true, Seq: 5}, "")
		})
	}
}

// What a device that does not pay is sent is no more than what it sent, except for segments
// that are shorter than the page or the alert: these go only to a device that has seen the
// handshake, and to that no more than the limit of answers.
func TestCaptiveAmplifiesNothing(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	tcp := func(port layers.TCPPort, s layers.TCP) layer {
		s.SrcPort, s.DstPort = 40000, port
		return &s
	}
	for family, packet := range families {
		least := map[string]int{"IPv4": 56, "IPv6": 96}[family] // of what gets an ICMP error
		header := map[string]int{"IPv4": 20, "IPv6": 40}[family]
		for name, c := range map[string]struct {
			protocol layers.IPProtocol
			content  []layer
			answer   bpf.HotspotReason
		}{
			"SYN":            {protoTCP, []layer{tcp(80, layers.TCP{SYN: true})}, answerHandshake},
			"SYN, refused":   {protoTCP, []layer{tcp(81, layers.TCP{SYN: true})}, answerReset},
			"SYN, alert":     {protoTCP, []layer{tcp(443, layers.TCP{SYN: true})}, answerHandshake},
			"data":           {protoTCP, []layer{tcp(80, layers.TCP{ACK: true, Seq: 1, Ack: 1}), gopacket.Payload("x")}, answerReset},
			"FIN":            {protoTCP, []layer{tcp(443, layers.TCP{ACK: true, FIN: true, Seq: 1, Ack: 1})}, answerReset},
			"UDP":            {protoUDP, []layer{udp(bpf.Upload, 4000, 443), gopacket.Payload(make([]byte, least-header-8))}, answerUnreachable},
			"UDP, short":     {protoUDP, []layer{udp(bpf.Upload, 4000, 443), gopacket.Payload(make([]byte, least-header-9))}, noRule},
			"GRE":            {layers.IPProtocolGRE, []layer{gopacket.Payload(make([]byte, least-header))}, answerUnreachable},
			"GRE, short":     {layers.IPProtocolGRE, []layer{gopacket.Payload(make([]byte, least-header-1))}, noRule},
			"without header": {layers.IPProtocolGRE, nil, noRule},
		} {
			t.Run(family+" "+name, func(t *testing.T) {
				b := captiveTestbed{b.clean(t)}
				frame := packet(t, bpf.Upload, c.protocol, c.content...)
				reason, answer := b.ask(bpf.Upload, frame)
				if reason != c.answer {
					t.Errorf("answered by %v, want %v", bpf.ReasonLabels[reason], bpf.ReasonLabels[c.answer])
				}
				if len(answer) > len(frame) {
					t.Errorf("an answer of %d bytes to %d", len(answer), len(frame))
				}
			})
		}
	}
	// A probe of Android, byte for byte, is longer than the page.
	const probe = "GET /generate_204 HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.32 Safari/537.36\r\n" +
		"Host: connectivitycheck.gstatic.com\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n"
	if page := bpf.CaptivePage("http://10.0.0.1/"); len(page) > len(probe) {
		t.Errorf("a page of %d bytes for a probe of %d", len(page), len(probe))
	}
}

// Any URL that the configuration takes makes a page that fits, of whole words.
func TestCaptivePageFits(t *testing.T) {
	for bytes := range dataplane.MaxRedirectBytes - len("http://a/") + 1 {
		url := "http://a/" + strings.Repeat("&", bytes)
		page := string(bpf.CaptivePage(url))
		head, body, _ := strings.Cut(page, "\r\n\r\n")
		if len(page)%4 != 0 || len(page) > int(bpf.HotspotAbiABI_CAPTIVE_PAGE_BYTES) || !strings.Contains(head, "Location: "+url+"\r\n") ||
			!strings.Contains(head, fmt.Sprintf("Content-Length: %d\r\n", len(body))) {
			t.Errorf("a page of %d bytes: %q", len(page), page)
		}
	}
}

// Cookies of other connections are others.
func TestCaptiveCookies(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	seen := make(map[uint32]bool)
	for port := layers.TCPPort(40000); port < 40200; port++ {
		_, frame := b.ask(bpf.Upload, families["IPv4"](t, bpf.Upload, protoTCP, &layers.TCP{SrcPort: port, DstPort: 80, SYN: true}))
		seen[segmentOf(t, frame).Seq] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d cookies of 200 connections", len(seen))
	}
}

// Everything else is refused at once, so that nothing waits.
func TestCaptiveRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		https                   dataplane.HTTPSAnswer
		unreachable             bool
		syn443, syn22, datagram bpf.HotspotReason
	}{
		"reset": {dataplane.HTTPSReset, true, answerReset, answerReset, answerUnreachable},
		"alert": {dataplane.HTTPSAlert, true, answerHandshake, answerReset, answerUnreachable},
		"drop":  {dataplane.HTTPSDrop, false, noRule, noRule, noRule},
	} {
		t.Run(name, func(t *testing.T) {
			options := testCaptive()
			options.HTTPS, options.Unreachable = c.https, c.unreachable
			shared := newCaptiveTestbed(t, options)
			for family, packet := range families {
				t.Run(family, func(t *testing.T) {
					b := captiveTestbed{shared.clean(t)}
					syn := func(port layers.TCPPort, want bpf.HotspotReason) *layers.TCP {
						t.Helper()
						reason, frame := b.ask(bpf.Upload, packet(t, bpf.Upload, protoTCP, &layers.TCP{SrcPort: 40000, DstPort: port, SYN: true, Seq: 9}))
						if reason != want {
							t.Errorf("SYN to %d: %v, want %v", port, bpf.ReasonLabels[reason], bpf.ReasonLabels[want])
						}
						if frame == nil {
							return nil
						}
						return segmentOf(t, frame)
					}
					if reset := syn(22, c.syn22); reset != nil && (!reset.RST || reset.Ack != 10) {
						t.Errorf("%+v", reset)
					}
					open := syn(443, c.syn443)
					if c.syn443 == answerHandshake {
						hello := &layers.TCP{SrcPort: 40000, DstPort: 443, ACK: true, PSH: true, Seq: 10, Ack: open.Seq + 1}
						reason, frame := b.ask(bpf.Upload, packet(t, bpf.Upload, protoTCP, hello, blob(1700)))
						if reason != answerTLSAlert {
							t.Fatalf("ClientHello: %v", bpf.ReasonLabels[reason])
						}
						if a := segmentOf(t, frame); !bytes.Equal(a.Payload, []byte{21, 3, 3, 0, 2, 2, 80}) || !a.FIN || a.Ack != 1710 {
							t.Errorf("%+v %x", a, a.Payload)
						}
					}
					asked := packet(t, bpf.Upload, protoUDP, &layers.UDP{SrcPort: 40000, DstPort: 443}, blob(1200))
					reason, frame := b.ask(bpf.Upload, asked)
					if reason != c.datagram {
						t.Errorf("QUIC: %v, want %v", bpf.ReasonLabels[reason], bpf.ReasonLabels[c.datagram])
					}
					if frame == nil {
						return
					}
					p := verified(t, frame)
					if family == "IPv4" {
						icmp := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
						if icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 13) || !bytes.Equal(icmp.Payload, asked[14:14+28]) {
							t.Errorf("%+v", icmp)
						}
						return
					}
					icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
					if icmp.TypeCode != layers.CreateICMPv6TypeCode(1, 1) || !bytes.Equal(icmp.Payload[4:], asked[14:14+48]) {
						t.Errorf("%+v", icmp)
					}
				})
			}
		})
	}
}

// No answer to an answer, to a group, to what is not whole, to a blocked device, and none
// to a device that paid.
func TestCaptiveSilence(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	syn := &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: true}
	fragment := ip4(bpf.Upload, server4, protoTCP)
	fragment.Flags = layers.IPv4MoreFragments
	options := ip4(bpf.Upload, server4, protoTCP)
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 4, OptionData: []byte{4, 0}}}
	unnamed := ip4(bpf.Upload, server4, protoTCP)
	unnamed.SrcIP = netip.IPv4Unspecified().AsSlice()
	for name, frame := range map[string][]byte{
		"tagged":     build(t, l2(bpf.Upload, etherVLAN), tag(7, etherIPv4), ip4(bpf.Upload, server4, protoTCP), syn),
		"fragment":   build(t, l2(bpf.Upload, etherIPv4), fragment, syn),
		"options":    build(t, l2(bpf.Upload, etherIPv4), options, syn),
		"broadcast":  build(t, ether(clientMAC, broadcastMAC, etherIPv4), ip4(bpf.Upload, "255.255.255.255", protoUDP), udp(bpf.Upload, 4000, 5000)),
		"multicast":  build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, "239.1.2.3", protoUDP), udp(bpf.Upload, 4000, 5000)),
		"multicast6": build(t, l2(bpf.Upload, etherIPv6), ip6(bpf.Upload, "ff0e::1", protoUDP), udp(bpf.Upload, 4000, 5000)),
		"no address": build(t, l2(bpf.Upload, etherIPv4), unnamed, syn),
		"ICMP":       build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, server4, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}),
		"ICMPv6":     build(t, l2(bpf.Upload, etherIPv6), ip6(bpf.Upload, server6, protoICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, blob(4)),
		"no header":  build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, server4, protoTCP), blob(12)),
	} {
		t.Run(name, func(t *testing.T) {
			if reason, frame := (captiveTestbed{b.clean(t)}).ask(bpf.Upload, frame); frame != nil {
				t.Errorf("answered: %v", bpf.ReasonLabels[reason])
			}
		})
	}
	frame := families["IPv4"](t, bpf.Upload, protoTCP, syn)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Block})
	if reason, _ := b.ask(bpf.Upload, frame); reason != blocked {
		t.Errorf("a blocked device: %v", bpf.ReasonLabels[reason])
	}
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, LimitBytes: dataplane.NoLimit})
	if got := b.run(bpf.Upload, frame, 0); got.Reason != forwarded {
		t.Errorf("a device that paid: %v", got)
	}
}

// After the end of a session only port 80 is answered for some time, whether the rule is
// still in force or was revoked, and its connections end, in both directions.
func TestCaptiveAfterTheEnd(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	now := kernel.BootNow()
	long := 100 * time.Second
	for name, c := range map[string]struct {
		deadline, revoked dataplane.Boottime
		quiet             bool
	}{
		"deadline":          {deadline: now.Add(-time.Second), quiet: true},
		"deadline long ago": {deadline: now.Add(-long)},
		"revoked":           {revoked: now, quiet: true},
		"revoked long ago":  {revoked: now.Add(-long)},
		"never connected":   {},
	} {
		t.Run(name, func(t *testing.T) {
			if now < dataplane.Boottime(long) {
				t.Fatalf("the machine started %v ago, the test needs %v", time.Duration(now), long)
			}
			b := captiveTestbed{b.clean(t)}
			if c.deadline != 0 {
				b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, LimitBytes: dataplane.NoLimit, Deadline: c.deadline})
			}
			if c.revoked != 0 {
				b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, LimitBytes: dataplane.NoLimit})
				index := indexOf(b.places, clientMAC)
				b.clients.At[index].RevokedS = uint32(time.Duration(c.revoked) / time.Second)
				b.clients.At[index].InForce = 0
			}
			ended := c.quiet
			for family, packet := range families {
				reasons := func(dir int, s layers.TCP, payload int) (bpf.HotspotReason, []byte) {
					s.SrcPort, s.DstPort = ends[layers.TCPPort](dir, 40000, s.DstPort)
					return b.ask(dir, packet(t, dir, protoTCP, &s, blob(payload)))
				}
				if reason, _ := reasons(bpf.Upload, layers.TCP{DstPort: 80, SYN: true}, 0); reason != answerHandshake {
					t.Errorf("%s: SYN to 80: %v", family, bpf.ReasonLabels[reason])
				}
				if reason, _ := reasons(bpf.Upload, layers.TCP{DstPort: 443, SYN: true}, 0); (reason == answerHandshake) == ended {
					t.Errorf("%s: SYN to 443: %v", family, bpf.ReasonLabels[reason])
				}
				if reason, _ := b.ask(bpf.Upload, packet(t, bpf.Upload, protoUDP, udp(bpf.Upload, 4000, 443), gopacket.Payload(make([]byte, 1200)))); (reason == answerUnreachable) == ended {
					t.Errorf("%s: QUIC: %v", family, bpf.ReasonLabels[reason])
				}
				if reason, frame := reasons(bpf.Upload, layers.TCP{DstPort: 443, ACK: true, Seq: 7, Ack: 70}, 100); reason != answerReset {
					t.Errorf("%s: of a live connection: %v", family, bpf.ReasonLabels[reason])
				} else if a := segmentOf(t, frame); !a.RST || a.Seq != 70 {
					t.Errorf("%+v", a)
				}
				for _, port := range []layers.TCPPort{80, 443, 5000} {
					reason, frame := reasons(bpf.Upload, layers.TCP{DstPort: port, ACK: true, Seq: 7, Ack: 70}, 0)
					if (reason == answerReset) != ended {
						t.Errorf("%s: an acknowledgement to %d of a live connection: %v", family, port, bpf.ReasonLabels[reason])
					} else if ended && segmentOf(t, frame).Seq != 70 {
						t.Errorf("%s: %+v", family, segmentOf(t, frame))
					}
				}
				_, led := reasons(bpf.Upload, layers.TCP{DstPort: 80, SYN: true, Seq: 6}, 0)
				if reason, frame := reasons(bpf.Upload, layers.TCP{DstPort: 80, ACK: true, Seq: 7, Ack: segmentOf(t, led).Seq + 1}, 0); frame != nil {
					t.Errorf("%s: the end of a handshake: %v", family, bpf.ReasonLabels[reason])
				}
				reason, frame := reasons(bpf.Download, layers.TCP{DstPort: 443, ACK: true, Seq: 70, Ack: 107, Window: 1000}, 1400)
				if (reason == answerReset) != ended {
					t.Errorf("%s: from the server: %v", family, bpf.ReasonLabels[reason])
				}
				if frame == nil {
					continue
				}
				if a := segmentOf(t, frame); !a.RST || !a.ACK || a.Seq != 70 || a.Ack != 107 || len(a.Payload) > 0 || a.SrcPort != 443 {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// A device that sends too much is not answered any more, and takes nothing of the others'.
func TestCaptiveIsLimited(t *testing.T) {
	b := newCaptiveTestbed(t, testCaptive())
	const frames = 2000
	count := func(mac func() dataplane.MAC) (answered int) {
		t.Helper()
		for range frames {
			link := l2(bpf.Upload, etherIPv4)
			from := mac()
			link.SrcMAC = from[:]
			if _, err := b.FromClient.Run(&ebpf.RunOptions{Data: build(t, link, ip4(bpf.Upload, server4, protoTCP), &layers.TCP{SrcPort: 1, DstPort: 80, SYN: true}), DataOut: make([]byte, 512)}); err != nil {
				t.Fatal(err)
			}
		}
		sums := b.stats()
		return int(sums[bpf.Upload*int(bpf.HotspotReasonREASONS)+int(answerHandshake)].Packets)
	}
	start := time.Now()
	one := count(func() dataplane.MAC { return clientMAC })
	most := bpf.CaptiveBurst + int(time.Since(start)/bpf.CaptiveInterval) + 2
	if one < bpf.CaptiveBurst || one > most {
		t.Errorf("%d of %d SYNs of one device answered, want %d to %d", one, frames, bpf.CaptiveBurst, most)
	}
	random := rand.New(rand.NewPCG(1, 2))
	others := count(func() dataplane.MAC {
		return dataplane.MAC{2, 9, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), 1}
	}) - one
	if others != frames {
		t.Errorf("%d of %d SYNs of others answered", others, frames)
	}
}

// The first answer to a device in ten minutes is an event, and no more of them than some a
// second, whatever MACs there are.
func TestCaptiveNews(t *testing.T) {
	const news = 10 * time.Second // of the machine's uptime, which may be short
	b := captiveTestbed{newTestbed(t, false)}
	b.answer(testCaptive(), dataplane.Garden{}, news)
	syn := func(mac dataplane.MAC) {
		t.Helper()
		link := l2(bpf.Upload, etherIPv4)
		link.SrcMAC = mac[:]
		if _, frame := b.ask(bpf.Upload, build(t, link, ip4(bpf.Upload, server4, protoTCP), &layers.TCP{SrcPort: 1, DstPort: 80, SYN: true})); frame == nil {
			t.Fatalf("%v is not answered", mac)
		}
	}
	led := dataplane.Event{Kind: dataplane.Answered, MAC: clientMAC}
	syn(clientMAC)
	syn(clientMAC)
	b.expectEvents(led)

	key := bpf.HotspotMacKey{Addr: clientMAC}
	var buckets bpf.HotspotPreauthBucket
	for since, want := range map[time.Duration][]dataplane.Event{news / 10: nil, 2 * news: {led}} {
		check(t, b.PreauthBuckets.Lookup(key, &buckets))
		buckets.TatNs[bpf.HotspotPreauthSpeedPREAUTH_ANSWERS] = uint64(kernel.BootNow().Add(-since))
		b.put(b.PreauthBuckets, key, &buckets)
		syn(clientMAC)
		b.expectEvents(want...)
	}

	const most = int(bpf.HotspotAbiABI_CAPTIVE_NEWS_BURST)
	start := time.Now()
	for i := range 2 * most {
		syn(dataplane.MAC{2, 9, 0, 0, byte(i >> 8), byte(i)})
	}
	if got, allowed := len(b.events()), most+int(time.Since(start)/time.Second)+1; got < most-2 || got > allowed {
		t.Errorf("%d events of %d devices, want %d to %d", got, 2*most, most-2, allowed)
	}
}
