// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cell is one set of conditions: a customer's speed, and flows that would have more.
type cell struct {
	mbits  float64
	rtt    time.Duration
	flows  []string // the congestion control of each
	up     bool
	supers bool // offloads on: super-packets reach the limiter
	lasts  time.Duration
}

// settling is the part of a run that is slow start and the first burst: steady is
// what comes after it.
const settling = 3 * time.Second

func (c cell) bitsPerSecond() float64 { return c.mbits * 1e6 }

// window is w: the full-size packets that a flow has in flight at its share.
func (c cell) window() float64 {
	return c.bitsPerSecond() / 8 * c.rtt.Seconds() / float64(len(c.flows)) / mtu
}

// all says whether all flows have the same congestion control.
func (c cell) all(congestion string) bool {
	return !slices.ContainsFunc(c.flows, func(f string) bool { return f != congestion })
}

func (c cell) String() string {
	direction, offloads := "down", ""
	if c.up {
		direction = "up"
	}
	if c.supers {
		offloads = " gso"
	}
	var mix []string
	for _, congestion := range []string{"bbr", "cubic"} {
		n := 0
		for _, f := range c.flows {
			if f == congestion {
				n++
			}
		}
		if n > 0 {
			mix = append(mix, fmt.Sprintf("%s×%d", congestion, n))
		}
	}
	name := fmt.Sprintf("%g Mbit/s %d ms %s %s%s", c.mbits, c.rtt.Milliseconds(), strings.Join(mix, "+"), direction, offloads)
	if c.lasts != usual {
		name += fmt.Sprintf(" %g s", c.lasts.Seconds())
	}
	return name
}

const usual = 10 * time.Second

var (
	rates = []float64{2, 5, 10, 50}
	rtts  = []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond}
	mixes = [][]string{
		times(1, "cubic"), times(4, "cubic"), times(16, "cubic"),
		times(1, "bbr"), times(4, "bbr"), times(16, "bbr"),
		append(times(1, "bbr"), times(3, "cubic")...),
	}
	// long is the hardest for a limiter without a queue: one flow whose losses cost
	// seconds of growth.
	long = cell{mbits: 50, rtt: 60 * time.Millisecond, flows: times(1, "cubic"), lasts: 33 * time.Second}
)

func times(n int, congestion string) []string { return slices.Repeat([]string{congestion}, n) }

// matrix is every cell.
func matrix() (all []cell) {
	for _, supers := range []bool{false, true} {
		for _, up := range []bool{false, true} {
			for _, mbits := range rates {
				for _, rtt := range rtts {
					for _, flows := range mixes {
						all = append(all, cell{mbits: mbits, rtt: rtt, flows: flows, up: up, supers: supers, lasts: usual})
					}
				}
			}
		}
	}
	return append(all, long)
}

// sample is every seventh cell or so, in which each rate, round trip, mix and
// direction occurs with each of the others' values.
func sample() (some []cell) {
	for i, mbits := range rates {
		for j, rtt := range rtts {
			for k := range 4 {
				n := i + j + 2*k
				some = append(some, cell{
					mbits: mbits, rtt: rtt, flows: mixes[(n+3*i)%len(mixes)],
					up: k%2 == 1, supers: (k+j)%4 > 1, lasts: usual,
				})
			}
		}
	}
	return append(some, long)
}

// few is what a quick run has time for.
func few() []cell {
	const short = 7 * time.Second
	ms := time.Millisecond
	return []cell{
		{mbits: 10, rtt: 20 * ms, flows: mixes[1], lasts: short},
		{mbits: 10, rtt: 20 * ms, flows: mixes[6], lasts: short},
		{mbits: 5, rtt: 60 * ms, flows: mixes[4], up: true, lasts: short},
		{mbits: 10, rtt: 60 * ms, flows: mixes[0], up: true, supers: true, lasts: short},
		{mbits: 2, rtt: 20 * ms, flows: mixes[1], lasts: short},
		{mbits: 20, rtt: 5 * ms, flows: mixes[3], supers: true, lasts: short},
	}
}
