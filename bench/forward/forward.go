// SPDX-License-Identifier: Apache-2.0

// Package forward measures what enforcement costs a router that forwards packets,
// next to the same router without any and to the rivals, as customers grow.
package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	study         = "forward"
	noEnforcement = "none"
	sender        = "sender" // no router: its packets are dropped where they come in
	goal          = 0.95     // of the router without enforcement
	// The bounds are for a busy machine, whose caches are never warm.
	bound       = 0.45 // of the router without enforcement
	boundRivals = 0.70 // of nftables
	warmUp      = 20 * time.Millisecond
)

// plan is how much is measured.
type plan struct {
	customers []int
	loads     []load
	rounds    int
	subjects  []subject
}

// load is a kind of traffic, and the directions to measure it in.
type load struct {
	name       string
	make       func(*router) (traffic, error)
	directions []direction
	turn       time.Duration
	ends       bool // it needs the far end to answer
	prepare    func(context.Context, *router) error
}

func framesOf(ipBytes int, directions ...direction) load {
	return load{
		name:       fmt.Sprintf("%d B", ipBytes),
		make:       func(r *router) (traffic, error) { return newFrames(r, ipBytes) },
		directions: directions,
		turn:       60 * time.Millisecond,
	}
}

// tracked is the load on routers that track connections, as those do that translate
// addresses. From then on, all do.
func (l load) tracked() load {
	const script = "table inet tracking {\n\tchain look {\n\t\ttype filter hook forward priority -10;\n\t\tct state invalid drop\n\t}\n}\n"
	l.name += ", tracked"
	l.prepare = func(ctx context.Context, r *router) error { return r.feed(ctx, script, "nft", "-f", "-") }
	return l
}

func tcpLoad() load {
	return load{name: "TCP, GSO", make: newTCP, directions: []direction{up, down}, turn: 150 * time.Millisecond, ends: true}
}

func planFor(scale report.Scale, agent string) plan {
	none := subject{name: noEnforcement, open: true, enforce: func(context.Context, *router) error { return nil }}
	nowhere := subject{name: sender, enforce: func(_ context.Context, r *router) error {
		return countAndDrop(r.kiosk.Router, r.kiosk.Port(0), lab.WAN)
	}}
	p := plan{
		customers: []int{1, 1000},
		loads:     []load{framesOf(64, up, down), framesOf(1500, up, down)},
		rounds:    7,
		subjects:  []subject{nowhere, none, hookSubject, lookupSubject, agentSubject(agent, "fair"), agentSubject(agent, "bucket"), nftSubject},
	}
	if scale > report.Quick {
		p.customers = []int{1, openNDSSubject.most, 1000, 10_000}
		p.loads = []load{framesOf(64, up, down, both), framesOf(1500, up, down, both), tcpLoad(), framesOf(64, up, down).tracked()}
		p.rounds = 9
		p.subjects = append(p.subjects, nftSetSubject, flareSubject, openNDSSubject)
	}
	return p
}

// Run measures forwarding.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) error {
	p := planFor(scale, agent)
	grown := make(growth)
	for _, customers := range p.customers {
		if err := p.measure(ctx, customers, grown, out); err != nil {
			return fmt.Errorf("%d customers: %w", customers, err)
		}
	}
	grown.report(p.customers, out)
	return nil
}

// measure has a router for each subject, all with their customers connected.
func (p plan) measure(ctx context.Context, customers int, grown growth, out *report.Report) (err error) {
	var routers []*router
	defer func() {
		for _, r := range routers {
			err = errors.Join(err, r.Close())
		}
	}()
	for _, s := range p.subjects {
		if s.most > 0 && customers > s.most {
			out.Say("forward: %s does not bear %d customers", s.name, customers)
			continue
		}
		started := time.Now()
		r, err := newRouter(ctx, s, customers)
		if err != nil && s.foreign && ctx.Err() == nil {
			out.Say("forward: without %s: %v", s.name, err)
			continue
		}
		if err != nil {
			return err
		}
		routers = append(routers, r)
		out.Say("forward: %s has %d customers (%.1f s)", s.name, customers, time.Since(started).Seconds())
	}
	for _, l := range p.loads {
		if err := p.measureLoad(ctx, routers, customers, l, grown, out); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

func (p plan) measureLoad(ctx context.Context, routers []*router, customers int, l load, grown growth, out *report.Report) (err error) {
	var sides []side
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.traffic.Close())
		}
	}()
	for _, r := range routers {
		if r.subject == sender && l.ends {
			continue
		}
		if l.prepare != nil {
			if err := l.prepare(ctx, r); err != nil {
				return err
			}
		}
		t, err := l.make(r)
		if err != nil {
			return err
		}
		sides = append(sides, side{r.subject, t})
	}
	for _, d := range l.directions {
		turns, err := takeTurns(ctx, sides, d, p.rounds, l.turn)
		if err != nil {
			return err
		}
		c := cell{load: l.name, direction: d, customers: customers}
		c.report(turns, out)
		grown.add(c, turns)
	}
	return nil
}

// side is the traffic of one subject.
type side struct {
	subject string
	traffic traffic
}

// takeTurns has the routers forward in short turns, so that other load on the machine
// disturbs all alike. It returns the turns of each subject.
func takeTurns(ctx context.Context, sides []side, d direction, rounds int, turn time.Duration) (map[string][]flow, error) {
	for _, s := range sides {
		// Fills caches and queues; what comes of it is not counted.
		if _, err := s.traffic.run(d, warmUp); err != nil {
			return nil, err
		}
	}
	turns := make(map[string][]flow)
	for range rounds {
		for _, s := range sides {
			f, err := s.traffic.run(d, turn)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			turns[s.subject] = append(turns[s.subject], f)
		}
	}
	return turns, nil
}

// countAndDrop has devices of a host drop the frames of emulated customers, as cheaply as
// they can.
func countAndDrop(h *lab.Host, devices ...string) error {
	for _, device := range devices {
		if _, err := h.CountAndDrop(device, fmt.Sprintf("udp dport %d", lab.EmulatedPort)); err != nil {
			return err
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
