// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"runtime"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// The runs repeat inside the kernel, so that the programs meet each other on the
// same account all the time. What passed is read from the statistics, which are
// each CPU's own.

// worker is a frame that is sent again and again.
type worker struct {
	dir   int
	frame []byte
	runs  uint32
}

// hammer runs all workers at once and waits for them.
func (b *testbed) hammer(workers ...worker) {
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if _, err := b.program(w.dir).Run(&ebpf.RunOptions{Data: w.frame, Repeat: w.runs}); err != nil {
				b.t.Error(err)
			}
		})
	}
	wg.Wait()
}

// since returns what was counted for a reason, of both directions.
func (b *testbed) since(before statistics, reason bpf.HotspotReason) (total bpf.HotspotStat) {
	b.t.Helper()
	after := b.stats()
	for dir := range bpf.Directions {
		key := dir*int(bpf.HotspotReasonREASONS) + int(reason)
		total.Packets += after[key].Packets - before[key].Packets
		total.Bytes += after[key].Bytes - before[key].Bytes
	}
	return total
}

// checkCounted compares an account with the statistics since before.
func (b *testbed) checkCounted(account dataplane.Account, before statistics) {
	b.t.Helper()
	passed, c := b.since(before, forwarded), b.counted(account)
	if got := (bpf.HotspotStat{Packets: c.UpPackets + c.DownPackets, Bytes: c.Spent()}); got != passed {
		b.t.Errorf("the account counted %+v, %+v passed", got, passed)
	}
	for reason, counted := range map[bpf.HotspotReason]uint64{rateDrop: c.RateDrops, limitDrop: c.LimitDrops, lateDrop: c.DeadlineDrops} {
		if n := b.since(before, reason).Packets; n != counted {
			b.t.Errorf("%s: the account counted %d, dropped were %d", bpf.ReasonLabels[reason], counted, n)
		}
	}
}

// packets are workers with frames of these IP lengths, in both directions.
func packets(t *testing.T, runs uint32, sizes ...int) (workers []worker) {
	for i, n := range sizes {
		workers = append(workers, worker{i % bpf.Directions, packet4(t, i%bpf.Directions, n), runs})
	}
	return workers
}

// TestLimitOnManyCPUs: what passes adds up to the limit and never beyond it, what
// is counted is what passed, and the end has one event.
func TestLimitOnManyCPUs(t *testing.T) {
	b := newTestbed(t, false)
	for _, test := range []struct {
		name  string
		sizes []int
		limit uint64
		least uint64
	}{
		{"one size", []int{1000, 1000, 1000, 1000}, 100_000_500, 100_000_000},
		{"many sizes", []int{1500, 40, 576, 1499, 28, 1280}, 150_000_000, 150_000_000 - 1499},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: test.limit})
			before := b.stats()
			b.hammer(packets(t, 200_000, test.sizes...)...)
			if spent := b.counted(7).Spent(); spent > test.limit || spent < test.least {
				t.Errorf("%d bytes of %d passed", spent, test.limit)
			}
			b.checkCounted(7, before)
			b.expectEvents(exhausted(7))
		})
	}
}

// TestTopUpsUnderTraffic: the limit moves while packets come; no count is lost.
func TestTopUpsUnderTraffic(t *testing.T) {
	const step, steps = 500_000, 200
	b := newTestbed(t, false)
	rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: step}
	b.grant(clientMAC, rule)
	before := b.stats()
	var topUps sync.WaitGroup
	topUps.Go(func() {
		for range steps - 1 {
			rule.LimitBytes += step
			b.grant(clientMAC, rule)
			runtime.Gosched()
		}
	})
	b.hammer(packets(t, 200_000, 1000, 1000, 1000, 1000)...)
	topUps.Wait()
	b.hammer(packets(t, 200_000, 1000)...) // if the top-ups came last
	if spent := b.counted(7).Spent(); spent != step*steps {
		t.Errorf("%d bytes spent, want %d", spent, step*steps)
	}
	b.checkCounted(7, before)
	if n := len(b.events()); n < 1 || n > steps {
		t.Errorf("%d events for %d limits", n, steps)
	}
}

// TestRateOnManyCPUs: the bucket is as exact under contention; every packet that
// passed is charged.
func TestRateOnManyCPUs(t *testing.T) {
	const bps = 5_000_000_000
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bps})
	s := mustSpeed(t, bps)
	before, start := b.stats(), kernel.BootNow()
	tat := b.setBucket(7, bpf.Upload, s, s.BurstNs)
	frame := packet4(t, bpf.Upload, 1500)
	b.hammer(worker{bpf.Upload, frame, 400_000}, worker{bpf.Upload, frame, 400_000}, worker{bpf.Upload, frame, 400_000})
	most := float64(bps) / 8 * kernel.BootNow().Sub(start).Seconds()
	got, charged := b.counted(7), b.account(7).Bucket[bpf.Upload].TatNs-tat
	if float64(got.UpBytes) > most+1500 {
		t.Errorf("%d bytes passed, want at most %.0f", got.UpBytes, most)
	}
	if want := got.UpPackets * (gcra{speed: s}).cost(1500); charged < want {
		t.Errorf("%d packets passed, but %d ns of %d were charged", got.UpPackets, charged, want)
	}
	b.checkCounted(7, before)
}

// TestDNSOnManyCPUs: the bucket without a lock gives nothing twice.
func TestDNSOnManyCPUs(t *testing.T) {
	b := newTestbed(t, false)
	// Only while it has room is a bucket raced for: many buckets, small queries.
	query := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoUDP), udp(bpf.Upload, 40000, 53))
	for range 200 {
		b := b.clean(t)
		before, start := b.stats(), kernel.BootNow()
		b.hammer(worker{bpf.Upload, query, 2000}, worker{bpf.Upload, query, 2000})
		if spent, most := int(b.since(before, preauth).Bytes), dnsMost(start); spent > most || spent < dnsBurstBytes-28 {
			t.Fatalf("%d bytes, want %d to %d", spent, dnsBurstBytes-28, most)
		}
	}
}
