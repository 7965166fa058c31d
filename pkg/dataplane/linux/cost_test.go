// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/internal/baseline"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// BenchmarkCost measures what a frame costs on its way through the programs, next to
// a program that only looks its client up in the same table and reads the clock, in
// turns: the least of all turns is the program's time, the rest is what else the
// machine did. Metrics: CASE-ns, CASE/base, LIMITER-100000/1, and load-s, see loadTime.
func BenchmarkCost(b *testing.B) {
	cases := make(map[string]costCase)
	addCost(b, cases, "bucket", "")
	withClamp(b)
	addCost(b, cases, "fair", "")
	addClampCost(b, cases)
	testbedClients = 100_001
	defer func() { testbedClients = 4096 }()
	addCost(b, cases, "fair", "-100000")
	testbedLimiter = dataplane.Bucket
	addCost(b, cases, "bucket", "-100000")
	least := leastCosts(b, cases)
	for name, ns := range least {
		b.ReportMetric(ns, name+"-ns")
		if name != "base" {
			b.ReportMetric(ns/least["base"], name+"/base")
		}
	}
	for _, limiter := range []string{"bucket", "fair"} {
		b.ReportMetric(least[limiter+"-100000"]/least[limiter], limiter+"-100000/1")
	}
	b.ReportMetric(loadTime(b).Seconds(), "load-s")
	b.ReportMetric(0, "ns/op") // of no meaning here
}

// loadTime is how long the kernel takes to check and load both programs, with all that
// they can do.
func loadTime(b *testing.B) time.Duration {
	testbedUplink = dataplane.Uplink{UpBPS: 1_000_000, DownBPS: 1_000_000}
	defer func() { testbedUplink = dataplane.Uplink{} }()
	withFair(b)
	best := time.Hour
	for range 3 {
		start := time.Now()
		newTestbed(b, false)
		best = min(best, time.Since(start))
	}
	return best
}

// costBPS makes a frame of 1500 bytes take 600 ns of a bucket: longer than any program
// takes, so that the queues never run empty in a turn, and short enough that they are
// empty again before the next. Where both take about the same, queues run empty
// with each frame, as on no real link.
const costBPS = 20_000_000_000

// addCost adds the cases of a limiter: one client among as many as the testbed holds, and
// a device without a rule.
func addCost(b *testing.B, cases map[string]costCase, limiter, suffix string) {
	bed := newTestbed(b, false)
	up := packet4(b, bpf.Upload, 1500)
	bed.grant(clientMAC, dataplane.Rule{
		Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit - 1, Deadline: math.MaxInt64, UpBPS: costBPS, DownBPS: costBPS,
	})
	if suffix != "" {
		bed.crowd(b, int(testbedClients)-1)
	}
	cases[limiter+suffix] = costCase{bed.FromClient, up}
	if suffix != "" {
		return
	}
	// server6 is a false positive of router_filter, as 1 of 256 addresses is here.
	up6 := build(b, l2(bpf.Upload, etherIPv6), ip6(bpf.Upload, "2001:db8::9", protoUDP), udp(bpf.Upload, 4000, 5000), blob(1452))
	cases[limiter+"-down"] = costCase{bed.ToClient, packet4(b, bpf.Download, 1500)}
	cases[limiter+"-ipv6"] = costCase{bed.FromClient, up6}
	stranger := udp4(b, bpf.Upload, 1472)
	copy(stranger[6:], neighborMAC[:])
	cases["stranger"] = costCase{bed.FromClient, stranger}
	lookup := build(b, append([]layer{ether(neighborMAC, routerMAC, etherIPv4)}, dns4(bpf.Upload)...)...)
	cases["stranger-dns"] = costCase{bed.FromClient, lookup}
	cases["base"] = costCase{bed.load(b, baseline.Lookup(bed.ClientIndex, baseline.Sender)), up}
	cases["nop"] = costCase{bed.load(b, baseline.Empty()), up}
}

// addClampCost adds the cases of TCP: a packet of data, and an acknowledgement that
// is clamped, of which a repeated run writes the window once.
func addClampCost(b *testing.B, cases map[string]costCase) {
	bed := newClampBed(b, bpf.Download)
	bed.connect(offer(7), offer(7))
	bed.data(40)
	bed.grant(clientMAC, dataplane.Rule{
		Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit - 1, Deadline: math.MaxInt64, UpBPS: costBPS, DownBPS: bedBPS,
	})
	ack, data := bed.ack(), segment{dir: bpf.Upload, window: 500, payload: 1460}
	cases["fair-ack"] = costCase{bed.FromClient, ack.frame(b)}
	idle := newTestbed(b, false)
	idle.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: costBPS, DownBPS: costBPS})
	cases["fair-data"] = costCase{idle.FromClient, data.frame(b)}
}

type costCase struct {
	prog  *ebpf.Program
	frame []byte
}

// leastCosts returns ns per frame of each case.
func leastCosts(b *testing.B, cases map[string]costCase) map[string]float64 {
	const turns, repeat = 100, 10_000
	least := make(map[string]float64)
	for range turns * b.N {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			c := cases[name]
			start := time.Now()
			if _, err := c.prog.Run(&ebpf.RunOptions{Data: c.frame, Repeat: repeat}); err != nil {
				b.Fatal(fmt.Errorf("%s: %w", name, err))
			}
			ns := float64(time.Since(start).Nanoseconds()) / repeat
			if best, ok := least[name]; !ok || ns < best {
				least[name] = ns
			}
		}
	}
	return least
}
