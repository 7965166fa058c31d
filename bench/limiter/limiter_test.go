// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

func TestJain(t *testing.T) {
	for _, test := range []struct {
		shares []float64
		want   float64
	}{
		{[]float64{5, 5, 5, 5}, 1},
		{[]float64{1, 0, 0, 0}, 0.25},
		{[]float64{3, 1}, 0.8},
		{[]float64{0, 0}, 0},
	} {
		if got := jain(test.shares); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("jain(%v) = %v, want %v", test.shares, got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		all  []time.Duration
		want time.Duration
	}{
		{nil, 0}, {[]time.Duration{7}, 7}, {[]time.Duration{9, 1, 2}, 2}, {[]time.Duration{8, 1, 9, 2}, 5},
	} {
		if got := median(test.all); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.all, got, test.want)
		}
	}
}

func TestMiddleIsOfEachFigure(t *testing.T) {
	got := middle([]result{
		{goodput: 0.9, jain: 1, echoAdded: 3}, {goodput: 1, jain: 0.5, echoAdded: 1}, {goodput: 0.8, jain: 0.7, echoAdded: 2},
	})
	if want := (result{runs: 3, goodput: 0.9, jain: 0.7, echoAdded: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBinsSumUpWhatCameBetween(t *testing.T) {
	var b bins
	b.add(-time.Millisecond, 1) // counts as the first
	b.add(99*time.Millisecond, 2)
	b.add(100*time.Millisecond, 4)
	b.add(950*time.Millisecond, 8)
	for _, test := range []struct {
		from, to time.Duration
		want     uint64
	}{
		{0, 100 * time.Millisecond, 3}, {100 * time.Millisecond, 900 * time.Millisecond, 4},
		{0, 10 * time.Second, 15}, {2 * time.Second, 3 * time.Second, 0},
	} {
		if got := b.between(test.from, test.to); got != test.want {
			t.Errorf("between %v and %v: %d, want %d", test.from, test.to, got, test.want)
		}
	}
}

func TestScheduleKeepsToTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var load, most float64
		var labs, mostAtOnce, ran int
		broken := errors.New("broken")
		var jobs []job
		for i, mbits := range []float64{50, 2, 50, 50, 10, 1000, 2, 2, 2, 2, 2, 10, 5} {
			jobs = append(jobs, job{mbits: mbits, run: func(context.Context) error {
				mu.Lock()
				load, labs, ran = load+mbits, labs+1, ran+1
				if mbits > mostMbits && labs > 1 {
					t.Error("a job that is too large runs beside others")
				}
				if mbits <= mostMbits {
					most = max(most, load)
				}
				mostAtOnce = max(mostAtOnce, labs)
				mu.Unlock()
				time.Sleep(time.Duration(i+1) * time.Second)
				mu.Lock()
				load, labs = load-mbits, labs-1
				mu.Unlock()
				if i == 0 {
					return broken
				}
				return nil
			}})
		}
		last := 0
		err := schedule(t.Context(), jobs, func(n int) { last = n })
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want that of the job", err)
		}
		if ran != len(jobs) || last != len(jobs) {
			t.Errorf("%d of %d jobs ran, %d were reported", ran, len(jobs), last)
		}
		if most > mostMbits || mostAtOnce != mostLabs {
			t.Errorf("at most %v Mbit/s in %d labs, want at most %d in %d", most, mostAtOnce, mostMbits, mostLabs)
		}
	})
}

func TestScheduleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	jobs := slices.Repeat([]job{{mbits: mostMbits, run: func(context.Context) error { ran++; cancel(); return nil }}}, 3)
	if err := schedule(ctx, jobs, func(int) {}); err != nil || ran != 1 {
		t.Errorf("%d jobs ran, %v; want 1", ran, err)
	}
}

func TestCells(t *testing.T) {
	all := matrix()
	if want := 4*3*7*2*2 + 1; len(all) != want {
		t.Errorf("the matrix has %d cells, want %d", len(all), want)
	}
	names := make(map[string]bool)
	for _, c := range all {
		names[c.String()] = true
	}
	if len(names) != len(all) {
		t.Errorf("%d cells have %d names", len(all), len(names))
	}
	some := sample()
	values := make(map[any]int)
	for _, c := range some {
		if !names[c.String()] {
			t.Errorf("%s is in the sample, and not in the matrix", c)
		}
		for _, v := range []any{c.mbits, c.rtt, len(c.flows), c.flows[0], c.flows[len(c.flows)-1], c.up, c.supers} {
			values[v]++
		}
	}
	for v, n := range values {
		if n < len(some)/8 {
			t.Errorf("%v occurs in %d of %d cells of the sample", v, n, len(some))
		}
	}
}

func TestWindow(t *testing.T) {
	c := cell{mbits: 10, rtt: 60 * time.Millisecond, flows: times(5, "cubic")}
	if got := c.window(); math.Abs(got-10) > 1e-9 {
		t.Errorf("w = %v, want 10", got)
	}
}

func TestGoalsAreThoseOfTheFairLimiter(t *testing.T) {
	c := cell{mbits: 10, rtt: 60 * time.Millisecond, flows: times(5, "cubic"), lasts: usual}
	goals := make(map[string]*report.Limit)
	for _, r := range rows(subject{name: "fair"}, c, result{}) {
		goals[r.Metric] = r.Goal
	}
	for metric, want := range map[string]string{
		goodput: ">= 0.970", ceiling: "<= 1.030", fairness: ">= 0.990", retransmitted: "<= 4", echoLoss: "<= 0.500", echoDelay: "<= 1", firstSeconds: "<= 1.050",
	} {
		if goals[metric].String() != want {
			t.Errorf("%s: goal %v, want %s", metric, goals[metric], want)
		}
	}
	for _, r := range rows(subject{name: "htb"}, c, result{}) {
		if r.Goal != nil || r.Bound != nil {
			t.Errorf("the rival has a goal: %+v", r)
		}
	}
}
