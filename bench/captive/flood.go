// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	floodPart   = 1 << 15 // frames that are made at once
	askEvery    = 50 * time.Millisecond
	fillTables  = 300_000 // connections that are tracked are 262,144 at most
	boundShare  = 0.5
	slowestGoal = 300 * time.Millisecond // as a phone's user would notice it
)

func (p plan) floods(ctx context.Context, routers []*router, out *report.Report) error {
	for _, r := range routers {
		if err := p.flood(ctx, r, out); err != nil {
			return fmt.Errorf("%s: %w", r.subject, err)
		}
	}
	return nil
}

// flood has one device send SYNs from random addresses of the clients' network, while
// another one asks for pages. Rivals get as many as fill their tables: the kernel's table
// of neighbours is one for all namespaces, and full for all of them.
func (p plan) flood(ctx context.Context, r *router, out *report.Report) error {
	r.askSteadily(1, askEvery)() // so that the device is known before
	syns, macs := p.syns, []bool{false, true}
	if r.subject != ours {
		syns, macs = min(syns, fillTables), macs[:1]
	}
	for _, macs := range macs {
		before, err := r.objects(ctx)
		if err != nil {
			return err
		}
		stop := r.askSteadily(1, askEvery)
		wall, err := r.sendSYNs(ctx, syns, macs)
		asked := stop()
		after, countErr := r.objects(ctx)
		// To read a bridge's table of a million MACs takes the agent longer than it may take
		// to stop.
		flushErr := run(ctx, r.kiosk.Router, "", "ip", "link", "set", lab.Bridge, "type", "bridge", "fdb_flush")
		if err := errors.Join(err, countErr, flushErr); err != nil {
			return err
		}
		cell := fmt.Sprintf("%d SYNs, one MAC", syns)
		if macs {
			cell = fmt.Sprintf("%d SYNs, each of another MAC", syns)
		}
		asked.report(cell, r.subject, "in the flood", out)
		reportFlood(cell, r.subject, float64(syns)/wall.Seconds(), before, after, out)
	}
	return nil
}

// sendSYNs has customer 1 send. It returns how long the router took to take them.
func (r *router) sendSYNs(ctx context.Context, n int, macs bool) (wall time.Duration, err error) {
	random := rand.New(rand.NewPCG(1, 2))
	from := r.kiosk.Customers[0]
	for sent := 0; sent < n && err == nil; {
		frames := make([][]byte, min(floodPart, n-sent))
		for i := range frames {
			s := station{mac: from.MAC, router: r.kiosk.Router.MAC, from: randomAddress(random), to: r.kiosk.Server.Addr4}
			if macs {
				s.mac = randomMAC(random)
			}
			frames[i] = s.tcp(segment{source: uint16(1024 + random.IntN(60000)), dest: httpPort, seq: random.Uint32(), flags: flagSYN})
		}
		begin := time.Now()
		err = errors.Join(from.SendFrames(lab.Uplink, frames...), ctx.Err())
		wall += time.Since(begin)
		sent += len(frames)
	}
	return wall, err
}

// randomAddress is one of 10.80.128.0/17, where no device is.
func randomAddress(random *rand.Rand) netip.Addr {
	a := [4]byte{10, 80}
	binary.BigEndian.PutUint16(a[2:], 1<<15|uint16(random.Uint32()))
	return netip.AddrFrom4(a)
}

func randomMAC(random *rand.Rand) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0xf0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], random.Uint32())
	return mac
}

// objects is what the kernel keeps of what it received.
type objects struct {
	connections, neighbours, halfOpen, bridged int
}

func (r *router) objects(ctx context.Context) (o objects, err error) {
	tracked, err := output(ctx, r.kiosk.Router, "", "cat", "/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		return o, err
	}
	if o.connections, err = strconv.Atoi(strings.TrimSpace(tracked)); err != nil {
		return o, err
	}
	for _, list := range []struct {
		into    *int
		program string
		args    []string
	}{
		{&o.neighbours, "ip", []string{"-4", "-o", "neigh", "show", "nud", "all", "dev", lab.Bridge}},
		{&o.halfOpen, "ss", []string{"-Htan", "state", "syn-recv"}},
		{&o.bridged, "bridge", []string{"fdb", "show", "br", lab.Bridge}},
	} {
		lines, err := output(ctx, r.kiosk.Router, "", list.program, list.args...)
		if err != nil {
			return o, err
		}
		*list.into = strings.Count(lines, "\n")
	}
	return o, nil
}

func reportFlood(cell, subject string, perSecond float64, before, after objects, out *report.Report) {
	row := func(metric string, value float64, unit string) report.Row {
		return report.Row{Study: study, Cell: cell, Subject: subject, Metric: metric, Value: value, Unit: unit}
	}
	left := func(metric string, value int) report.Row {
		r := row(metric, float64(max(0, value)), "")
		if subject == ours {
			r.Goal, r.Bound = report.AtMost(0), report.AtMost(20) // a device of the lab may have asked for an address
		}
		return r
	}
	out.Add(row("SYNs taken", perSecond, "/s"),
		left("connections tracked, left", after.connections-before.connections),
		left("neighbours left", after.neighbours-before.neighbours),
		left("half-open sockets left", after.halfOpen-before.halfOpen),
		row("MACs learnt by the bridge, left", float64(max(0, after.bridged-before.bridged)), ""))
}

// asked is a series of requests of one device.
type asked struct {
	took   []time.Duration // of those with an answer
	failed []error
}

func (a *asked) add(took time.Duration, err error) {
	if err != nil {
		a.failed = append(a.failed, err)
		return
	}
	a.took = append(a.took, took)
}

// askSteadily has a customer ask again and again, until it is stopped.
func (r *router) askSteadily(customer int, every time.Duration) (stop func() asked) {
	done, result := make(chan struct{}), make(chan asked, 1)
	go func() {
		var a asked
		_ = r.kiosk.Customers[customer].Do(func() error {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				a.add(ask(r.kiosk.Customers[customer].Addr4, r.server(false), answerPatience))
				select {
				case <-done:
					return nil
				case <-tick.C:
				}
			}
		})
		result <- a
	}()
	return func() asked { close(done); return <-result }
}

func (a asked) report(cell, subject, when string, out *report.Report) {
	all := len(a.took) + len(a.failed)
	share := report.Row{Study: study, Cell: cell, Subject: subject, Metric: "answered " + when, Value: float64(len(a.took)) / float64(all)}
	slowest := report.Row{Study: study, Cell: cell, Subject: subject, Metric: "slowest answer " + when, Unit: "ms"}
	if len(a.took) > 0 {
		slowest.Value = slices.Max(a.took).Seconds() * 1000
	}
	if subject == ours {
		share.Goal, share.Bound = report.AtLeast(1), report.AtLeast(boundShare)
		slowest.Goal = report.AtMost(slowestGoal.Seconds() * 1000)
	}
	out.Add(share, slowest, report.Row{Study: study, Cell: cell, Subject: subject, Metric: "asked " + when, Value: float64(all)})
	for _, err := range a.failed[:min(1, len(a.failed))] {
		out.Say("captive: %s, %s: %v", subject, cell, err)
	}
}
