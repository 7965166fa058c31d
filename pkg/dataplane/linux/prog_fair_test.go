// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// withFair loads testbeds with the fair limiter until the test ends.
func withFair(t testing.TB) {
	testbedLimiter = dataplane.Fair
	t.Cleanup(func() { testbedLimiter = dataplane.Bucket })
}

// withClamp loads testbeds with the fair limiter that clamps windows until the test ends.
func withClamp(t testing.TB) {
	withFair(t)
	testbedClamp = true
	t.Cleanup(func() { testbedClamp = false })
}

// TestUnderFair: what does not depend on the limiter holds with either.
func TestUnderFair(t *testing.T) {
	withFair(t)
	underFair(t)
}

func TestUnderClamp(t *testing.T) {
	withClamp(t)
	underFair(t)
	t.Run("FairAgainstModel", TestFairAgainstModel)
	t.Run("SparseFlow", TestSparseFlow)
	t.Run("FairDepth", TestFairDepth)
	t.Run("FairOnManyCPUs", TestFairOnManyCPUs)
}

func underFair(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"VerifierTime", TestVerifierTime},
		{"Frames", TestFrames},
		{"CutFrames", TestCutFrames},
		{"Counters", TestCounters},
		{"LastSeen", TestLastSeen},
		{"LimitToTheByte", TestLimitToTheByte},
		{"LimitCloses", TestLimitCloses},
		{"Deadline", TestDeadline},
		{"DeadlineIsExact", TestDeadlineIsExact},
		{"LocalIsFree", TestLocalIsFree},
		{"TopUpAtTheEnd", TestTopUpAtTheEnd},
		{"SharedAccount", TestSharedAccount},
		{"MissingAccount", TestMissingAccount},
		{"DirectionsHaveTheirOwnBuckets", TestFairDirections},
		{"PortMode", TestPortMode},
		{"LimitOnManyCPUs", TestLimitOnManyCPUs},
		{"TopUpsUnderTraffic", TestTopUpsUnderTraffic},
		{"SuperPackets", TestSuperPackets},
		{"SuperPacketsOfAnySize", TestSuperPacketsOfAnySize},
		{"SuperPacketAtTheLimit", TestSuperPacketAtTheLimit},
		{"SuperPacketPassesSlowBucket", TestSuperPacketPassesSlowBucket},
	} {
		t.Run(test.name, test.run)
	}
}

// fairBed has one account, and a time of its own: an hour of the bed takes no
// longer than its packets. At its speed a byte takes 1 ms, so that real time, some
// microseconds a packet, does not count.
type fairBed struct {
	*testbed
	t      testing.TB
	speed  bpf.Speed
	dir    int
	frames map[string][]byte
}

const (
	bedBPS  = 8_000
	bedByte = time.Millisecond
)

func newFairBed(t testing.TB, dir int) *fairBed {
	withFair(t)
	b := &fairBed{testbed: newTestbed(t, false), t: t, speed: mustSpeed(t, bedBPS), dir: dir, frames: map[string][]byte{}}
	b.start()
	return b
}

// start makes an account that has not sent anything.
func (b *fairBed) start() {
	b.testbed = b.clean(b.t)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bedBPS, DownBPS: bedBPS})
}

func (b *fairBed) queues() bpf.HotspotFair { return b.queuesOf(b.dir) }

// queuesOf reads while no packet is under way.
func (b *testbed) queuesOf(dir int) bpf.HotspotFair {
	b.t.Helper()
	var f bpf.HotspotFlows
	if err := b.Flows.Lookup(b.counter(7), &f); err != nil {
		b.t.Fatal(err)
	}
	return f.Fair[dir]
}

// age lets time pass: what happened lies further back.
func (b *fairBed) age(d time.Duration) {
	b.t.Helper()
	back := func(ns *uint64) { *ns = max(*ns, uint64(d)) - uint64(d) }
	u := b.account(7)
	back(&u.Bucket[b.dir].TatNs)
	b.setAccount(7, u)
	var f bpf.HotspotFlows
	if err := b.Flows.Lookup(b.counter(7), &f); err != nil {
		b.t.Fatal(err)
	}
	back(&f.Fair[b.dir].VtimeAtNs)
	back(&f.Fair[b.dir].SampledNs)
	if err := b.Flows.Put(b.counter(7), &f); err != nil {
		b.t.Fatal(err)
	}
}

// offer sends a packet of a flow, of n bytes of IP, and says whether it passed.
func (b *fairBed) offer(flow, n int) bool {
	b.t.Helper()
	key := fmt.Sprint(flow, n)
	if b.frames[key] == nil {
		port := layers.UDPPort(1000 + flow)
		b.frames[key] = build(b.t, l2(b.dir, etherIPv4), ip4(b.dir, server4, protoUDP), udp(b.dir, port, 5000), blob(n-28))
	}
	passed, err := b.send(b.dir, b.frames[key], 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return passed
}

// model is the state of now, in Go.
func (b *fairBed) model() fpq {
	k := b.queues()
	return fpqOf(b.speed, b.account(7).Bucket[b.dir].TatNs, &k)
}

// TestFairAgainstModel: over any history, the kernel decides as the model does at
// some time between before and after the run, and the queues add up to the
// bucket's backlog.
func TestFairAgainstModel(t *testing.T) {
	bed := newFairBed(t, bpf.Upload)
	rapid.Check(t, func(r *rapid.T) {
		bed.start()
		tags := make(map[int]uint32)
		flows := rapid.IntRange(1, 10).Draw(r, "flows")
		pauses := rapid.SampledFrom([]time.Duration{0, 0, 0, 50 * bedByte, 500 * bedByte, 5000 * bedByte, 30_000 * bedByte})
		for range rapid.IntRange(30, 60).Draw(r, "bursts") {
			bed.age(pauses.Draw(r, "pause"))
			flow := rapid.IntRange(0, flows-1).Draw(r, "flow")
			bytes := rapid.SampledFrom([]int{40, 256, 257, 576, 1500, 1500}).Draw(r, "bytes")
			for range rapid.IntRange(5, 30).Draw(r, "packets") {
				bed.check(r, flow, bytes, tags)
			}
		}
	})
}

// check offers a packet and compares what becomes of it with the model. tags are
// what the kernel knows flows by.
func (b *fairBed) check(r *rapid.T, flow, n int, tags map[int]uint32) {
	k, m := b.queues(), b.model()
	queue := -1
	if tag, known := tags[flow]; known {
		queue = slices.Index(k.Tag[:], tag)
	}
	before := uint64(kernel.BootNow())
	passed := b.offer(flow, n)
	after := uint64(kernel.BootNow())
	early, least := m.admit(queue, uint64(n), before)
	late, most := m.admit(queue, uint64(n), after)
	possible := passed == early || passed == late
	// Between two samples of backlogged flows a packet that passes would also pass later;
	// a count in the middle of the run may take that back.
	if count := k.SampledNs + samplePeriod; before < count && count <= after {
		last, _ := m.admit(queue, uint64(n), count-1)
		first, _ := m.admit(queue, uint64(n), count)
		possible = possible || passed == last || passed == first
	}
	if !possible {
		r.Fatalf("flow %d: %d bytes passed = %t, the model says %t", flow, n, passed, late)
	}
	got := b.queues()
	now := b.model()
	if sum, backlog := now.queued(), b.account(7).Bucket[b.dir].TatNs-got.VtimeAtNs; got.Active > 0 && sum != backlog {
		r.Fatalf("the queues add up to %d ns, the bucket's backlog is %d", sum, backlog)
	}
	if !passed || early != late {
		return
	}
	at := slices.IndexFunc(got.FinishNs[:], func(ns uint64) bool { return !slices.Contains(k.FinishNs[:], ns) })
	tags[flow] = got.Tag[at]
	// The kernel's shares are rounded to a millionth: a pause of 30 s to less than this.
	const rounding = uint64(bedByte / 2)
	slack := after - before + rounding
	if length := got.FinishNs[at] - got.VtimeNs; length+slack < min(least, most) || length > max(least, most)+slack {
		r.Fatalf("flow %d: a queue of %d ns, the model says %d to %d", flow, length, most, least)
	}
}

// TestFairShares: flows that take what they can get get the same each, and together
// the speed, however unlike they are.
func TestFairShares(t *testing.T) {
	for dir := range bpf.Directions {
		b := newFairBed(t, dir)
		for _, flows := range []int{1, 2, 4, 12} {
			b.start()
			passed := make([]float64, flows)
			round := func() {
				b.age(300 * bedByte)
				for flow := range flows {
					for range 1 + 4*(flow%2) { // some push five times as hard
						if b.offer(flow, 1500-500*(flow%3/2)) {
							passed[flow] += float64(1500 - 500*(flow%3/2))
						}
					}
				}
			}
			for range 600 { // 180 s: the burst of 64 s is over
				round()
			}
			clear(passed)
			const rounds = 4000
			start := kernel.BootNow()
			for range rounds {
				round()
			}
			// What the rounds aged it by, and the time that they really took.
			allowed := rounds*300 + float64(kernel.BootNow().Sub(start))/float64(bedByte)
			sum, squares := 0.0, 0.0
			for _, bytes := range passed {
				sum += bytes
				squares += bytes * bytes
			}
			if jain := sum * sum / squares / float64(flows); jain < 0.999 {
				t.Errorf("%s, %d flows: Jain's index %.4f: %v", bpf.DirectionLabels[dir], flows, jain, passed)
			}
			tolerance := 0.002
			if emulated() {
				tolerance = 0.01 // a round takes as long as what it ages by
			}
			if share := sum / allowed; math.Abs(share-1) > tolerance {
				t.Errorf("%s, %d flows: %.4f of the speed", bpf.DirectionLabels[dir], flows, share)
			}
		}
	}
}

// TestSparseFlow: one that sends little loses nothing beside many that send too much.
func TestSparseFlow(t *testing.T) {
	b := newFairBed(t, bpf.Download)
	const greedy, echo = 8, 100
	for i := range 4000 {
		b.age(150 * bedByte)
		for flow := range greedy {
			b.offer(flow, 1500)
		}
		if i%10 == 0 && !b.offer(echo, 64) {
			t.Fatalf("round %d: an echo was dropped", i)
		}
		if i%200 == 0 && !b.offer(echo+1+i/200, 1200) {
			t.Fatalf("round %d: the first packet of a flow was dropped", i)
		}
	}
}

// TestFairDepth: one flow is let through to the depth of the bucket, many to twice
// that, and a quarter more is for first packets and small ones.
func TestFairDepth(t *testing.T) {
	b := newFairBed(t, bpf.Upload)
	alone := 0
	for b.offer(0, 1500) {
		alone += 1500
	}
	if most := bpf.BurstFloorByte; alone > most || alone <= most-1500 {
		t.Errorf("one flow: %d bytes at once, want %d", alone, most)
	}
	b.start()
	all := 0
	fill := func(flows, packets int) {
		for i := range flows * packets {
			if b.offer(i%flows, 1500) {
				all += 1500
			}
		}
	}
	fill(8, 20)
	if most := 2 * bpf.BurstFloorByte; all > most || all <= most-1500 {
		t.Errorf("8 flows: %d bytes at once, want %d", all, most)
	}
	fill(100, 1) // of others, the first packet
	if most := bpf.BurstFloorByte * 9 / 4; all > most || all <= most-1500 {
		t.Errorf("100 flows: %d bytes at once, want %d", all, most)
	}
}

// TestFairDirections: what is full on upload is empty on download.
func TestFairDirections(t *testing.T) {
	b := newFairBed(t, bpf.Upload)
	for b.offer(0, 1500) {
	}
	b.expect(bpf.Download, packet4(t, bpf.Download, 1500), forwarded)
}

// TestFairNewSpeed: a new speed is in force with the next packet, and the queues of
// the old one are forgotten.
func TestFairNewSpeed(t *testing.T) {
	b := newFairBed(t, bpf.Upload)
	for b.offer(0, 1500) {
	}
	for _, bps := range []uint64{10_000_000, 0, bedBPS} {
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bps})
		if !b.offer(0, 1500) {
			t.Errorf("%d bit/s: dropped", bps)
		}
	}
}

// TestFairBusy: queues that stay locked, because their holder was interrupted, cost
// no packet: the bucket decides.
func TestFairBusy(t *testing.T) {
	b := newFairBed(t, bpf.Upload)
	var f bpf.HotspotFlows
	f.Fair[bpf.Upload].Lock = 1
	b.put(b.Flows, b.counter(7), &f)
	passed := 0
	for b.offer(passed%3, 1500) {
		passed++
	}
	if want := 2 * bpf.BurstFloorByte / 1500; passed != want {
		t.Errorf("%d packets at once, want %d", passed, want)
	}
	if got := b.queues(); got != f.Fair[bpf.Upload] {
		t.Errorf("the queues changed: %+v", got)
	}
}

// TestFairWithoutQueues: an account without a place in the map has its bucket.
func TestFairWithoutQueues(t *testing.T) {
	b := newFairBed(t, bpf.Upload)
	rule := b.clients.At[0].Rule[0]
	rule.FlowsIndex = tables.NoIndex
	b.setRule(clientMAC, rule)
	passed := 0
	for b.offer(passed, 1500) {
		passed++
	}
	if want := bpf.BurstFloorByte / 1500; passed != want {
		t.Errorf("%d packets at once, want %d", passed, want)
	}
}

// TestWhatIsAFlow counts the flows that two frames are.
func TestWhatIsAFlow(t *testing.T) {
	frame4 := func(parts ...layer) []byte { return build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, parts...)...) }
	frame6 := func(parts ...layer) []byte { return build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, parts...)...) }
	u := func(a, b layers.UDPPort) layer { return udp(bpf.Upload, a, b) }
	fragment := func(offset uint16, id layers.UDPPort) []byte {
		ip := ip4(bpf.Upload, server4, protoUDP)
		ip.Flags, ip.FragOffset = layers.IPv4MoreFragments, offset
		return frame4(ip, u(id, id), blob(100))
	}
	four, six := ip4(bpf.Upload, server4, protoUDP), ip6(bpf.Upload, server6, protoUDP)
	other := ip4(bpf.Upload, server4, protoUDP)
	other.SrcIP = []byte{10, 0, 0, 51}
	for _, test := range []struct {
		name          string
		first, second []byte
		want          uint32
	}{
		{"the same", frame4(four, u(1, 2), blob(9)), frame4(four, u(1, 2), blob(500)), 1},
		{"another port of the client", frame4(four, u(1, 2)), frame4(four, u(3, 2)), 2},
		{"another port of the server", frame4(four, u(1, 2)), frame4(four, u(1, 3)), 2},
		{"another protocol", frame4(four, u(1, 2)), frame4(ip4(bpf.Upload, server4, protoTCP), tcp(bpf.Upload, 1, 2)), 2},
		{"another server", frame4(four, u(1, 2)), frame4(ip4(bpf.Upload, "198.51.100.8", protoUDP), u(1, 2)), 2},
		{"another address of the client", frame4(four, u(1, 2)), frame4(other, u(1, 2)), 2},
		{"fragments", fragment(0, 1), fragment(100, 2), 1},
		{"IPv6", frame6(six, u(1, 2)), frame6(six, u(1, 2)), 1},
		{"another port over IPv6", frame6(six, u(1, 2)), frame6(six, u(1, 3)), 2},
		{"another server over IPv6", frame6(six, u(1, 2)), frame6(ip6(bpf.Upload, "2001:db8::8", protoUDP), u(1, 2)), 2},
		{"IPv4 and IPv6", frame4(four, u(1, 2)), frame6(six, u(1, 2)), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newFairBed(t, bpf.Upload)
			b.expect(bpf.Upload, test.first, forwarded)
			b.expect(bpf.Upload, test.second, forwarded)
			if got := b.queues().Active; got != test.want {
				t.Errorf("%d flows, want %d", got, test.want)
			}
		})
	}
}

// TestFairOnManyCPUs: packets of several CPUs find queues and bucket consistent.
func TestFairOnManyCPUs(t *testing.T) {
	withFair(t)
	const bps, runs, workers = 1_000_000_000, 200_000, 4
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bps})
	s := mustSpeed(t, bps)
	start, before := kernel.BootNow(), b.stats()
	var crew []worker
	for i := range workers {
		port := layers.UDPPort(1000 + i)
		frame := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, port, 5000), blob(1472))
		crew = append(crew, worker{bpf.Upload, frame, runs})
	}
	b.hammer(crew...)
	b.checkCounted(7, before)
	got, k := b.counted(7), b.queuesOf(bpf.Upload)
	depth := float64(s.BurstNs) * 9 / 4
	if most := float64(bps) / 8e9 * (float64(kernel.BootNow().Sub(start)) + depth); float64(got.UpBytes) > most+1500 {
		t.Errorf("%d bytes passed, want at most %.0f", got.UpBytes, most)
	}
	if busy := b.since(before, busyDrop).Packets; got.UpPackets+got.RateDrops+busy != workers*runs {
		t.Errorf("%d packets, %d drops, %d more of a busy account, want %d", got.UpPackets, got.RateDrops, busy, workers*runs)
	}
	tat := b.account(7).Bucket[bpf.Upload].TatNs
	// Less, when a packet found the queues locked for long.
	if m := fpqOf(s, tat, &k); k.Active > 0 && m.queued() > tat-k.VtimeAtNs {
		t.Errorf("the queues add up to %d ns, the bucket's backlog is %d", m.queued(), tat-k.VtimeAtNs)
	}
}
