// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hammer starts a worker that runs the frame, and adds up the bytes that passed.
func (b *testbed) hammer(dir int, frame []byte, bytes uint64, runs int, passed *atomic.Uint64, wg *sync.WaitGroup) {
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for range runs {
			ok, err := b.send(dir, frame, 0)
			if err != nil {
				b.t.Error(err)
				return
			}
			if ok {
				passed.Add(bytes)
			}
		}
	})
}

// TestLimitOnManyCPUs: what passes adds up to the limit and never beyond it, what
// is counted is what passed, and the end is told once.
func TestLimitOnManyCPUs(t *testing.T) {
	b := newTestbed(t, false)
	for _, test := range []struct {
		name        string
		sizes       []int
		limit, want uint64 // want: 0 for anything less than one packet below limit
	}{
		{"one size", []int{1000, 1000, 1000, 1000, 1000, 1000}, 1_500_500, 1_500_000},
		{"many sizes", []int{1500, 40, 576, 1499, 28, 1280}, 3_000_000, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, Rule{Verdict: Allow, Account: 7, LimitBytes: test.limit})
			var passed atomic.Uint64
			var wg sync.WaitGroup
			for i, n := range test.sizes {
				b.hammer(i%directions, packet4(t, i%directions, n), uint64(n), 5000, &passed, &wg)
			}
			wg.Wait()
			spent := b.counters(7).Spent()
			if spent != passed.Load() {
				t.Errorf("counted %d bytes, %d passed", spent, passed.Load())
			}
			if spent > test.limit || test.limit-spent >= 1500 || test.want != 0 && spent != test.want {
				t.Errorf("%d bytes of %d passed", spent, test.limit)
			}
			b.expectEvents(exhausted(7))
		})
	}
}

// TestTopUpsUnderTraffic: the limit moves while packets come; no count is lost.
func TestTopUpsUnderTraffic(t *testing.T) {
	const step, steps = 50_000, 40
	b := newTestbed(t, false)
	rule := Rule{Verdict: Allow, Account: 7, LimitBytes: step}
	b.grant(clientMAC, rule)
	var passed atomic.Uint64
	var wg sync.WaitGroup
	for i := range 4 {
		b.hammer(i%directions, packet4(t, i%directions, 1000), 1000, 20_000, &passed, &wg)
	}
	for range steps - 1 {
		rule.LimitBytes += step
		b.grant(clientMAC, rule)
		runtime.Gosched()
	}
	wg.Wait()
	if spent := b.counters(7).Spent(); spent != passed.Load() || spent != step*steps {
		t.Errorf("counted %d bytes, %d passed, want %d", spent, passed.Load(), step*steps)
	}
	// The last limit is told once; of the others those that were met in time.
	told := map[Event]int{}
	for _, e := range b.events() {
		e.At = 0
		told[e]++
	}
	if n := told[exhausted(7)]; n < 1 || n > steps {
		t.Errorf("%d events for %d limits", n, steps)
	}
}

// TestRateOnManyCPUs: the bucket is as exact under contention; every packet that
// passed is charged.
func TestRateOnManyCPUs(t *testing.T) {
	const bps, runs, workers = 50_000_000, 20_000, 4
	b := newTestbed(t, false)
	b.grant(clientMAC, Rule{Verdict: Allow, Account: 7, LimitBytes: NoLimit, UpBPS: bps})
	s := mustSpeed(t, bps)
	start := BootNow()
	tat := b.setBucket(7, upload, s, s.burstNs)
	var passed atomic.Uint64
	var wg sync.WaitGroup
	for range workers {
		b.hammer(upload, packet4(t, upload, 1500), 1500, runs, &passed, &wg)
	}
	wg.Wait()
	most := float64(bps) / 8 * BootNow().Sub(start).Seconds()
	got, charged := b.counters(7), b.usage(7).Bucket[upload].TatNs-tat
	if float64(got.UpBytes) > most+1500 {
		t.Errorf("%d bytes passed, want at most %.0f", got.UpBytes, most)
	}
	if want := got.UpPackets * (gcra{speed: s}).cost(1500); charged < want {
		t.Errorf("%d packets passed, but %d ns of %d were charged", got.UpPackets, charged, want)
	}
	if got.UpBytes != passed.Load() || got.UpPackets+got.RateDrops != workers*runs {
		t.Errorf("%d bytes counted, %d passed, %d packets and %d drops", got.UpBytes, passed.Load(), got.UpPackets, got.RateDrops)
	}
}

// TestStatsOnManyCPUs: every frame is in one of the statistics.
func TestStatsOnManyCPUs(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, Rule{Verdict: Allow, Account: 7, LimitBytes: NoLimit, Deadline: BootNow().Add(time.Hour)})
	var passed atomic.Uint64
	var wg sync.WaitGroup
	for i := range 4 {
		b.hammer(i%directions, packet4(t, i%directions, 500), 500, 5000, &passed, &wg)
	}
	wg.Wait()
	for dir := range directions {
		if got, want := b.stat(dir, forwarded), (hotspotStat{Packets: 10_000, Bytes: 5_000_000}); got != want {
			t.Errorf("%s: %+v, want %+v", directionLabels[dir], got, want)
		}
	}
}
