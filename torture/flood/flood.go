// SPDX-License-Identifier: Apache-2.0

// Package flood has unpaid devices flood a router while a customer downloads: with frames of
// unknown MACs, each of which the agent and the kernel might remember, and with
// customers that come and go as fast as they can. The same floods meet the same router
// without an agent, as most of what they cost is not the agent's.
package flood

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	// leastKept is what is promised of the download: next to the router without an agent
	// in the same flood, and for the storms next to the same router at rest. Some tenths
	// of a second among other tests say less.
	leastKept, leastKeptShort = 0.95, 0.7
	// mostGrown is far below what a million MACs would take in any table. The agents of
	// the short form have the race detector, and take several times the memory.
	mostGrown, mostGrownShort = 16 << 20, 64 << 20
)

// plan is how much is tried.
type plan struct {
	rounds    int
	phase     time.Duration
	perSecond int // frames
	least     float64
	grown     uint64 // bytes that the agent's memory may
}

// Run floods.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	p := plan{
		rounds:    o.Pick(3, 9),
		phase:     time.Duration(o.Pick(200, 1000)) * time.Millisecond,
		perSecond: o.Pick(10_000, 40_000),
		least:     leastKept,
		grown:     mostGrown,
	}
	if o.Scale == report.Short {
		p.least, p.grown = leastKeptShort, mostGrownShort
	}
	with, err := newRouter(ctx, o.Agent)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, with.Close()) }()
	without, err := newRouter(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, without.Close()) }()
	t := trial{plan: p, with: with, without: without, seen: make(map[string]*seen)}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	return t.rows(ctx)
}

// trial is a router with the agent next to one without.
type trial struct {
	plan
	with, without *router
	before, after harness.Memory
	dns           lab.Count // that passed from the router's start on
	storm         *storm
	seen          map[string]*seen // by flood
}

// seen is the phases of one flood, round by round.
type seen struct {
	with, without []phase
	unpaid        uint64
}

const (
	atRest = "at rest"
	storms = "storms"
)

func (t *trial) run(ctx context.Context) (err error) {
	if t.storm, err = newStorm(ctx, t.with); err != nil {
		return err
	}
	if err := t.round(ctx); err != nil { // caches, connections and neighbours are warm
		return err
	}
	clear(t.seen)
	if t.before, err = t.with.agent.Memory(); err != nil {
		return err
	}
	for range t.rounds {
		if err := t.round(ctx); err != nil {
			return err
		}
	}
	if t.after, err = t.with.agent.Memory(); err != nil {
		return err
	}
	if t.dns, err = t.with.dns.Read(); err != nil {
		return err
	}
	return t.without.wasOpen()
}

// round has each flood once, in turns with and without the agent.
func (t *trial) round(ctx context.Context) error {
	still := func(*router) func(context.Context) (uint64, error) { return quiet }
	if err := t.turn(ctx, atRest, still); err != nil {
		return err
	}
	for _, k := range kinds {
		err := t.turn(ctx, k.name, func(r *router) func(context.Context) (uint64, error) { return r.send(k, t.perSecond) })
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	p, err := t.with.flooded(ctx, t.phase, t.storm.run)
	t.of(storms).with = append(t.of(storms).with, p)
	return err
}

func (t *trial) turn(ctx context.Context, name string, do func(*router) func(context.Context) (uint64, error)) error {
	before, err := t.with.unpaid.Read()
	if err != nil {
		return err
	}
	with, err := t.with.flooded(ctx, t.phase, do(t.with))
	if err != nil {
		return err
	}
	after, err := t.with.unpaid.Read()
	if err != nil {
		return err
	}
	without, err := t.without.flooded(ctx, t.phase, do(t.without))
	s := t.of(name)
	s.with, s.without = append(s.with, with), append(s.without, without)
	s.unpaid += after.Packets - before.Packets
	return errors.Join(err, ctx.Err())
}

func (t *trial) of(name string) *seen {
	if t.seen[name] == nil {
		t.seen[name] = new(seen)
	}
	return t.seen[name]
}

// speed is the median of what the customer got.
func speed(phases []phase) float64 {
	var all []float64
	for _, p := range phases {
		all = append(all, p.bitsPerSecond)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
