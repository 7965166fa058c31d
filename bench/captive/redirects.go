// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

const (
	parallel       = 8
	answerPatience = 5 * time.Second
	warmUp         = 20 * time.Millisecond

	goalRate   = 1.5  // times as many redirects a second as a rival
	goalMiddle = 0.25 // of a rival's p50
	// The bounds are for a busy machine.
	boundRate   = 0.8
	boundMiddle = 0.9
)

// turn is what one subject did in its turn.
type turn struct {
	took   []time.Duration // sorted
	failed int
	wall   time.Duration
}

func (t turn) rate() float64       { return float64(len(t.took)) / t.wall.Seconds() }
func (t turn) unanswered() float64 { return float64(t.failed) }
func (t turn) middle() float64     { return t.took[len(t.took)/2].Seconds() }

// redirects has the routers take turns, so that other load on the machine disturbs all
// alike.
func (p plan) redirects(ctx context.Context, routers []*router, out *report.Report) error {
	for _, ipv6 := range []bool{false, true} {
		turns := make(map[string][]turn)
		for round := range p.rounds + 1 {
			for _, r := range routers {
				long := p.turn
				if round == 0 { // fills tables and caches; what comes of it is not counted
					long = warmUp
				}
				t, err := r.take(ipv6, long)
				if err = errors.Join(err, ctx.Err()); err != nil {
					return fmt.Errorf("%s: %w", r.subject, err)
				}
				if round > 0 {
					turns[r.subject] = append(turns[r.subject], t)
				}
			}
		}
		reportRedirects(ipv6, turns, out)
	}
	return nil
}

// take has devices of the crowd ask, several at a time, each request on a connection of
// its own.
func (r *router) take(ipv6 bool, long time.Duration) (t turn, err error) {
	all, failed := make([]asked, parallel), make([]error, parallel)
	var asking sync.WaitGroup
	for w := range parallel {
		asking.Go(func() {
			failed[w] = r.kiosk.Customers[0].Do(func() error {
				all[w] = askFor(long, r.crowd[ipv6], w, r.server(ipv6))
				return nil
			})
		})
	}
	asking.Wait()
	t.wall = long // an answer that does not come is not waited for by the others
	for _, a := range all {
		t.took = append(t.took, a.took...)
		t.failed += len(a.failed)
		failed = append(failed, a.failed...)
	}
	slices.Sort(t.took)
	if len(t.took) == 0 {
		return t, fmt.Errorf("no redirect in %v: %w", long, errors.Join(failed...))
	}
	return t, nil
}

// askFor asks from every eighth address in turn.
func askFor(long time.Duration, from []netip.Addr, first int, to netip.AddrPort) (a asked) {
	begin := time.Now()
	for i := first; time.Since(begin) < long; i += parallel {
		a.add(ask(from[i%len(from)], to, answerPatience))
	}
	return a
}

func reportRedirects(ipv6 bool, turns map[string][]turn, out *report.Report) {
	cell := fmt.Sprintf("%d at a time, %s", parallel, family(ipv6))
	row := func(subject, metric string, value float64, unit string) report.Row {
		return report.Row{Study: study, Cell: cell, Subject: subject, Metric: metric, Value: value, Unit: unit}
	}
	for _, subject := range []string{ours, nftName, tproxyName} {
		out.Add(row(subject, "redirects", median(each(turns[subject], turn.rate)), "/s"),
			row(subject, "redirect, p50", median(each(turns[subject], turn.middle))*1e6, "us"),
			row(subject, "redirects without answer", sum(each(turns[subject], turn.unanswered)), ""))
	}
	for _, rival := range []string{nftName, tproxyName} {
		rate := row(ours, "redirects", median(ratios(turns[ours], turns[rival], turn.rate)), "")
		middle := row(ours, "redirect, p50", median(ratios(turns[ours], turns[rival], turn.middle)), "")
		rate.Versus, middle.Versus = rival, rival
		if rival == nftName {
			rate.Goal, rate.Bound = report.AtLeast(goalRate), report.AtLeast(boundRate)
			middle.Goal, middle.Bound = report.AtMost(goalMiddle), report.AtMost(boundMiddle)
		}
		out.Add(rate, middle)
	}
}

func family(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

func each(turns []turn, what func(turn) float64) (values []float64) {
	for _, t := range turns {
		values = append(values, what(t))
	}
	return values
}

// ratios compares neighbouring turns.
func ratios(of, to []turn, what func(turn) float64) (values []float64) {
	for i := range of {
		values = append(values, what(of[i])/what(to[i]))
	}
	return values
}

func sum(values []float64) (all float64) {
	for _, v := range values {
		all += v
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
