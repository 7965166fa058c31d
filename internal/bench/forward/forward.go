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

	"github.com/hotspot-agent/hotspot-agent/internal/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	study    = "forward"
	baseline = "none"
	goal     = 0.95 // of the router without enforcement
	bound    = 0.60 // of a busy machine, for a packet that costs little else
	turn     = 60 * time.Millisecond
	warmUp   = 20 * time.Millisecond
)

// plan is how much is measured.
type plan struct {
	customers  []int
	sizes      []int // of IP packets
	directions []direction
	rounds     int
	subjects   []subject
}

func planFor(scale report.Scale, agent string) plan {
	none := subject{name: baseline, enforce: func(context.Context, *router) error { return nil }}
	p := plan{
		customers:  []int{1, 1000},
		sizes:      []int{64, 1500},
		directions: []direction{up, down},
		rounds:     9,
		subjects:   []subject{none, agentSubject(agent, "fair"), agentSubject(agent, "bucket"), nftSubject},
	}
	if scale > report.Quick {
		p.customers = append(p.customers, 10_000)
		p.directions = append(p.directions, both)
		p.rounds = 25
		p.subjects = append(p.subjects, flareSubject, openNDSSubject)
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
		if err != nil {
			return err
		}
		routers = append(routers, r)
		out.Say("forward: %s has %d customers (%.1f s)", s.name, customers, time.Since(started).Seconds())
	}
	for _, size := range p.sizes {
		if err := p.measureSize(ctx, routers, customers, size, grown, out); err != nil {
			return fmt.Errorf("packets of %d B: %w", size, err)
		}
	}
	return nil
}

func (p plan) measureSize(ctx context.Context, routers []*router, customers, size int, grown growth, out *report.Report) (err error) {
	var sides []*traffic
	defer func() {
		for _, t := range sides {
			err = errors.Join(err, t.Close())
		}
	}()
	for _, r := range routers {
		t, err := newTraffic(r, size)
		if err != nil {
			return err
		}
		sides = append(sides, t)
	}
	for _, d := range p.directions {
		turns, err := p.takeTurns(ctx, sides, d)
		if err != nil {
			return err
		}
		c := cell{customers: customers, size: size, direction: d}
		c.report(turns, out)
		grown.add(c, turns)
	}
	return nil
}

// takeTurns has every router forward for a moment, and all again, so that what
// disturbs the machine disturbs all alike. It returns the turns of each subject.
func (p plan) takeTurns(ctx context.Context, sides []*traffic, d direction) (map[string][]flow, error) {
	turns := make(map[string][]flow)
	for round := range p.rounds + 1 {
		for _, t := range sides {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if round == 0 {
				// Fills caches and queues; what comes of it is not counted.
				if _, err := t.run(d, warmUp); err != nil {
					return nil, err
				}
				continue
			}
			f, err := t.run(d, turn)
			if err != nil {
				return nil, err
			}
			turns[t.router.subject] = append(turns[t.router.subject], f)
		}
	}
	return turns, nil
}

// swallow has the far ends drop what the crowd is sent, as cheaply as they can.
func swallow(r *router) error {
	match := fmt.Sprintf("udp dport %d", lab.CrowdPort)
	_, err := r.kiosk.Server.Swallow(lab.Uplink, match)
	if err == nil {
		_, err = r.kiosk.Customers[0].Swallow(lab.Uplink, match)
	}
	return err
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
