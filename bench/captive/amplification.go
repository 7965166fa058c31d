// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	answerWithin = 60 * time.Millisecond
	silence      = 5 * time.Millisecond
	httpsPort    = 443
	dnsPort      = 53
	floodFor     = time.Second
)

// wire is the cable of customer 1, where stations without a host send and listen.
type wire struct {
	r       *router
	mu      sync.Mutex
	answers [][]byte
	next    int // station
}

// amplification is how much the router sends to a device for what it received from it, for
// each kind of frame that is answered. The answer to another's address goes to the MAC that
// the frame is from, so a device can only flood its own radio link.
func amplification(ctx context.Context, r *router, out *report.Report) error {
	w := &wire{r: r}
	sniffer, err := r.kiosk.Customers[0].Sniff(lab.Uplink, w.heard)
	if err != nil {
		return err
	}
	defer sniffer.Close()
	for _, ipv6 := range []bool{false, true} {
		for _, k := range kinds {
			if err := w.measure(ctx, k, ipv6, out); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	return w.flooded(ctx, out)
}

func (w *wire) heard(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, slices.Clone(frame))
}

// kind is a kind of frames that are answered: the smallest ones.
type kind struct {
	name string
	port uint16
	play func(c *conversation) error
}

var kinds = []kind{
	{"SYN to HTTP", httpPort, func(c *conversation) error { return c.send(segment{flags: flagSYN}) }},
	{"SYN to another port", portalPort, func(c *conversation) error { return c.send(segment{flags: flagSYN}) }},
	{"a byte of a request", httpPort, func(c *conversation) error { return c.opened(segment{flags: flagPSH | flagACK, payload: []byte{'G'}}) }},
	{"a whole redirect", httpPort, (*conversation).redirect},
	{"FIN of a redirect", httpPort, func(c *conversation) error { return c.opened(segment{flags: flagFIN | flagACK}) }},
	{"a byte of a TLS handshake", httpsPort, func(c *conversation) error { return c.opened(segment{flags: flagPSH | flagACK, payload: []byte{22}}) }},
	{"a byte of a connection of before", portalPort, func(c *conversation) error {
		return c.send(segment{seq: 1, ack: 1, flags: flagPSH | flagACK, payload: []byte{0}})
	}},
	{"UDP without payload", lab.EmulatedPort, func(c *conversation) error { return c.exchange(c.of.udp(lab.EmulatedPort, nil)) }},
	{"a DNS query", dnsPort, func(c *conversation) error { return c.exchange(c.of.udp(dnsPort, make([]byte, 33))) }},
	{"QUIC", httpsPort, func(c *conversation) error { return c.exchange(c.of.udp(httpsPort, make([]byte, 1200))) }},
	{"another protocol", 0, func(c *conversation) error { const gre = 47; return c.exchange(c.of.frame(gre, make([]byte, 8), 0)) }},
}

// conversation is what a station and the router sent to each other.
type conversation struct {
	wire           *wire
	ctx            context.Context
	of             station
	port           uint16
	sent, received int // bytes of IP packets
	last           []byte
}

func (w *wire) measure(ctx context.Context, k kind, ipv6 bool, out *report.Report) error {
	c := &conversation{wire: w, ctx: ctx, of: w.station(ipv6), port: k.port}
	if err := k.play(c); err != nil {
		return err
	}
	out.Add(report.Row{Study: study, Cell: k.name + ", " + family(ipv6), Subject: ours, Metric: "sent for a byte received",
		Value: float64(c.received) / float64(c.sent), Goal: report.AtMost(1)})
	return nil
}

// station is a device that was not there before: its limits are full.
func (w *wire) station(ipv6 bool) station {
	const first = 10_000
	w.next++
	s := station{mac: lab.EmulatedMAC(first + w.next), router: w.r.kiosk.Router.MAC, from: emulated6(first + w.next), to: w.r.kiosk.Server.Addr6}
	if !ipv6 {
		a := w.r.crowd[false][0].As4()
		a[2], a[3] = 250, byte(w.next)
		s.from, s.to = netip.AddrFrom4(a), w.r.kiosk.Server.Addr4
	}
	return s
}

func (c *conversation) send(g segment) error {
	g.source, g.dest = 40_000, c.port
	return c.exchange(c.of.tcp(g))
}

// exchange sends a frame and takes what comes until nothing does.
func (c *conversation) exchange(frame []byte) error {
	c.wire.take(c.of)
	if err := c.wire.r.kiosk.Customers[0].SendFrames(lab.Uplink, frame); err != nil {
		return err
	}
	c.sent += ipBytes(frame)
	for begin := time.Now(); time.Since(begin) < answerWithin; time.Sleep(time.Millisecond) {
		if answers := c.wire.take(c.of); len(answers) > 0 {
			for _, a := range answers {
				c.received += ipBytes(a)
				c.last = a
			}
			return c.ctx.Err()
		}
	}
	return c.ctx.Err()
}

// take returns the frames that arrived for a station.
func (w *wire) take(s station) (answers [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, frame := range w.answers {
		if slices.Equal(frame[:6], s.mac) {
			answers = append(answers, frame)
		}
	}
	w.answers = nil
	return answers
}

// open opens the connection, and returns where its sequence numbers are.
func (c *conversation) open() (next segment, err error) {
	const first = 1000
	if err := c.send(segment{seq: first, flags: flagSYN}); err != nil {
		return next, err
	}
	if c.last == nil {
		return next, fmt.Errorf("no answer to a SYN to port %d", c.port)
	}
	at := ethernetBytes + len(c.of.ip(protocolTCP, 0))
	next = segment{seq: first + 1, ack: binary.BigEndian.Uint32(c.last[at+4:]) + 1, flags: flagACK}
	return next, c.send(next)
}

// opened sends a segment on an open connection; what opened it does not count.
func (c *conversation) opened(g segment) error {
	next, err := c.open()
	if err != nil {
		return err
	}
	c.sent, c.received = 0, 0
	g.seq, g.ack = next.seq, next.ack
	return c.send(g)
}

// redirect is all of what a phone sends and receives.
func (c *conversation) redirect() error {
	next, err := c.open()
	if err != nil {
		return err
	}
	next.payload, next.flags = []byte(request), flagPSH|flagACK
	if err := c.send(next); err != nil {
		return err
	}
	at := ethernetBytes + len(c.of.ip(protocolTCP, 0)) + tcpBytes
	next.seq += uint32(len(next.payload))
	next.ack += uint32(len(c.last)-at) + 1 // its FIN
	next.payload, next.flags = nil, flagACK
	if err := c.send(next); err != nil {
		return err
	}
	next.flags = flagFIN | flagACK
	return c.send(next)
}

// flooded is what a device gets at most, that sends what has the largest answer as fast as
// it can.
func (w *wire) flooded(ctx context.Context, out *report.Report) error {
	c := &conversation{wire: w, ctx: ctx, of: w.station(false), port: httpPort}
	next, err := c.open()
	if err != nil {
		return err
	}
	next.source, next.dest, next.flags, next.payload = 40_000, httpPort, flagPSH|flagACK, []byte{'G'}
	frame := c.of.tcp(next)
	frames := slices.Repeat([][]byte{frame}, 1024)
	w.take(c.of)
	sent, received := 0, 0
	begin := time.Now()
	for time.Since(begin) < floodFor && ctx.Err() == nil {
		if err := w.r.kiosk.Customers[0].SendFrames(lab.Uplink, frames...); err != nil {
			return err
		}
		sent += len(frames) * ipBytes(frame)
		for _, a := range w.take(c.of) {
			received += ipBytes(a)
		}
	}
	wall := time.Since(begin).Seconds()
	time.Sleep(silence)
	for _, a := range w.take(c.of) {
		received += ipBytes(a)
	}
	row := func(metric string, value float64, unit string, goal *report.Limit) report.Row {
		return report.Row{Study: study, Cell: "flood of bytes of a request", Subject: ours, Metric: metric, Value: value, Unit: unit, Goal: goal, Bound: goal}
	}
	out.Add(row("sent to one flooder", float64(received)/wall/1000, "kB/s", nil),
		row("sent for a byte received, flooded", float64(received)/float64(sent), "", report.AtMost(1)))
	return ctx.Err()
}
