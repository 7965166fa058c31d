// SPDX-License-Identifier: Apache-2.0

// Package control measures the control plane, through the real socket of the real
// daemon and with its database on the machine's disk: how soon a customer is let in
// and out next to the rivals' commands, how many in a second, and what many customers
// cost in CPU, memory and writes.
package control

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

const (
	study    = "control"
	interval = 15 * time.Second // between checkpoints, by default
	often    = 5 * time.Second  // between those of many customers, so that several are seen soon
	comers   = 24               // customers that come and go one by one
)

// amounts is how much is measured.
type amounts struct {
	times      int // one by one
	rivals     int // customers of a rival
	population int // customers of a small hotspot, and of the rates
	watched    int // checkpoints of the small hotspot
	wear       int // checkpoints of the hotspot whose writes are counted; 0: not
	isp        int // customers of a large one; 0: none
	ispWatch   int // its checkpoints
}

func amountsOf(scale report.Scale) amounts {
	switch scale {
	case report.Quick:
		return amounts{times: 150, rivals: 10, population: 500, watched: 1}
	case report.Sampled:
		return amounts{times: 1000, rivals: 50, population: 500, watched: 4, wear: 6, isp: 100_000, ispWatch: 3}
	default:
		return amounts{times: 5000, rivals: 200, population: 500, watched: 20, wear: 40, isp: 100_000, ispWatch: 8}
	}
}

// Run measures the control plane.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) error {
	a := amountsOf(scale)
	r := recorder{out}
	if err := r.binary(agent); err != nil {
		return err
	}
	if err := r.verbs(ctx, agent, a); err != nil {
		return err
	}
	// What a daemon writes does not depend on what another one does meanwhile.
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return r.wear(ctx, agent, a) })
	both.Go(func() error { return r.isp(ctx, agent, a) })
	return both.Wait()
}

type recorder struct{ *report.Report }

func (r recorder) add(cell, subject, metric, unit string, value float64, goal, bound *report.Limit) {
	r.Add(report.Row{Study: study, Cell: cell, Subject: subject, Metric: metric, Value: value, Unit: unit, Goal: goal, Bound: bound})
}

func (r recorder) binary(agent string) error {
	info, err := os.Stat(agent)
	if err != nil {
		return err
	}
	r.add("", "agent", "binary", "MB", float64(info.Size())/1e6, report.AtMost(15), report.AtMost(25))
	return nil
}

// verbs is a small hotspot: its customers come and go one by one, all at once, and
// then stay.
func (r recorder) verbs(ctx context.Context, agent string, a amounts) (err error) {
	b, err := newFixture(agent, comers, 4096, interval)
	if err != nil {
		return err
	}
	defer func() { err = closing(b, err) }()
	in, out, err := b.oneByOne(ctx, a.times)
	if err != nil {
		return err
	}
	r.latency("agent", "connect", in, true)
	r.latency("agent", "disconnect", out, true)
	if err := r.rivals(ctx, a, in, out); err != nil {
		return err
	}
	c := &population{fixture: b}
	if err := r.rates(ctx, c, a); err != nil {
		return err
	}
	return r.stay(ctx, c, a.watched)
}

func (r recorder) latency(subject, verb string, l latencies, ours bool) {
	var p50, p99 *report.Limit
	if ours {
		p50, p99 = report.AtMost(0.5), report.AtMost(2)
	}
	r.add("one by one", subject, verb+" p50", "ms", l.at(50), p50, nil)
	r.add("one by one", subject, verb+" p99", "ms", l.at(99), p99, nil)
}

func (r recorder) rivals(ctx context.Context, a amounts, in, out latencies) error {
	for _, v := range []rival{uspotSets, flareWay} {
		theirIn, theirOut, err := v.measure(ctx, a.rivals)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		r.latency(v.name, "connect", theirIn, false)
		r.latency(v.name, "disconnect", theirOut, false)
		for verb, ratio := range map[string]float64{
			"connect p50": in.at(50) / theirIn.at(50), "disconnect p50": out.at(50) / theirOut.at(50),
		} {
			r.Add(report.Row{Study: study, Cell: "one by one", Subject: "agent", Metric: verb, Value: ratio,
				Bound: report.AtMost(2), Versus: v.name})
		}
	}
	return nil
}

func (r recorder) rates(ctx context.Context, c *population, a amounts) error {
	cell := fmt.Sprintf("%d customers, %d clients", a.population, callers)
	bought, err := c.buy(ctx, a.population, callers)
	if err != nil {
		return err
	}
	r.add(cell, "agent", "purchases", "/s", bought, nil, nil)
	var in, out float64
	const rounds = 4
	for range rounds {
		for _, step := range []struct {
			do  func(context.Context, int, int) (float64, error)
			sum *float64
		}{{c.connect, &in}, {c.disconnect, &out}} {
			rate, err := step.do(ctx, 0, c.size)
			if err != nil {
				return err
			}
			*step.sum += rate / rounds
		}
	}
	r.add(cell, "agent", "connects", "/s", in, report.AtLeast(2000), report.AtLeast(100))
	r.add(cell, "agent", "disconnects", "/s", out, nil, report.AtLeast(100))
	_, err = c.connect(ctx, 0, c.size)
	return err
}

// stay watches customers that are connected and send a packet now and then.
func (r recorder) stay(ctx context.Context, c *population, checkpoints int) error {
	cell := fmt.Sprintf("%d customers", c.size)
	w, err := c.watch(ctx, checkpoints, c.size)
	if err != nil {
		return err
	}
	r.add(cell, "agent", "CPU", "% of a core", 100*w.cpu.Seconds()/w.took.Seconds(), report.AtMost(0.2), report.AtMost(5))
	r.add(cell, "agent", "memory", "MiB", w.rss/(1<<20), report.AtMost(25), report.AtMost(60))
	return nil
}

// wear counts what a hotspot with 100 customers writes.
func (r recorder) wear(ctx context.Context, agent string, a amounts) (err error) {
	if a.wear == 0 {
		return nil
	}
	const customers = 100
	b, err := newFixture(agent, 1, 4096, interval)
	if err != nil {
		return err
	}
	defer func() { err = closing(b, err) }()
	c := &population{fixture: b}
	if err := c.arrive(ctx, customers); err != nil {
		return err
	}
	if _, err := c.watch(ctx, 3, customers); err != nil { // what a fresh start writes
		return err
	}
	w, err := c.watch(ctx, a.wear, customers)
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf("%d customers, all active, over %.0f s", customers, w.took.Seconds()), "agent", "written", "MB/h",
		w.written/1e6*time.Hour.Seconds()/w.took.Seconds(), report.AtMost(1), report.AtMost(10))
	return nil
}

// isp is as many customers as an internet provider has.
func (r recorder) isp(ctx context.Context, agent string, a amounts) (err error) {
	if a.isp == 0 {
		return nil
	}
	b, err := newFixture(agent, 1, a.isp+1000, often)
	if err != nil {
		return err
	}
	defer func() { err = closing(b, err) }()
	empty, err := b.process().rss()
	if err != nil {
		return err
	}
	c := &population{fixture: b}
	if err := c.arrive(ctx, a.isp); err != nil {
		return err
	}
	for _, active := range []int{0, a.isp} {
		w, err := c.watch(ctx, a.ispWatch, active)
		if err != nil {
			return err
		}
		cell := fmt.Sprintf("%d customers, %d active", a.isp, active)
		r.add(cell, "agent", "CPU of a checkpoint", "ms", w.least.Seconds()*1000, report.AtMost(50), report.AtMost(2000))
		r.add(cell, "agent", "CPU, checkpoints every 5 s", "% of a core", 100*w.cpu.Seconds()/w.took.Seconds(), nil, nil)
		r.add(cell, "agent", "memory", "MiB", w.rss/(1<<20), report.AtMost(100), report.AtMost(500))
		r.add(cell, "agent", "memory of a customer", "B", (w.rss-empty)/float64(a.isp), nil, nil)
	}
	return r.restart(b, a.isp)
}

// restart stops the daemon as a service manager does, and starts it again: it joins its
// database with what the kernel continued to enforce.
func (r recorder) restart(b *fixture, customers int) error {
	cell := fmt.Sprintf("%d customers", customers)
	for _, step := range []struct {
		name string
		do   func() error
	}{{"clean stop", b.agent.Stop}, {"start", b.agent.Start}} {
		var took latencies
		if err := took.timed(step.do); err != nil {
			return err
		}
		r.add(cell, "agent", step.name, "s", took[0].Seconds(), nil, nil)
	}
	return nil
}
