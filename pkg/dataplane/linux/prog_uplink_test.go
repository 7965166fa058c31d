// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// uplinkBed is clients that send to the uplink, some as much as they can and others
// less than an even share.
type uplinkBed struct {
	*testbed
	bps    uint64
	frames [][]byte // by client
	met    bool     // CPUs met at the lock, so that the bucket may have more than the slots

	offered time.Duration // how long frames came one right after the other
	last    time.Time     // the last one
}

// stall is so long between two frames that the machine did something else meanwhile:
// nothing was on offer then, whatever the clock of the programs says.
const stall = time.Millisecond

func newUplinkBed(t *testing.T, bps uint64, clients int, rule dataplane.Rule) *uplinkBed {
	t.Helper()
	testbedUplink = dataplane.Uplink{UpBPS: bps}
	defer func() { testbedUplink = dataplane.Uplink{} }()
	b := &uplinkBed{testbed: newTestbed(t, false), bps: bps}
	d := &Dataplane{opts: Options{Uplink: dataplane.Uplink{UpBPS: bps}}, maps: &pins.Maps{HotspotMaps: b.HotspotMaps}}
	check(t, writeUplink(d.maps, d.opts.Uplink))
	for i := range clients {
		mac := dataplane.MAC{2, 9, 0, 0, byte(i >> 8), byte(i)}
		rule.Verdict, rule.Account, rule.LimitBytes = dataplane.Allow, dataplane.Account(100+i), dataplane.NoLimit
		b.grant(mac, rule)
		b.frames = append(b.frames, build(t, ether(mac, routerMAC, etherIPv4), ip4(bpf.Upload, server4, layers.IPProtocolUDP),
			udp(bpf.Upload, 4000, 5000), blob(1472)))
	}
	return b
}

// offer sends a packet of a client, and says whether it passed.
func (b *uplinkBed) offer(client int) bool {
	b.t.Helper()
	now := time.Now()
	if gap := now.Sub(b.last); gap < stall {
		b.offered += gap
	}
	b.last = now
	passed, err := b.send(bpf.Upload, b.frames[client], 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return passed
}

// load offers for a while, stalls not counted: light clients one packet each period, heavy
// ones without end. It returns what passed of each, and how many packets the light ones lost.
func (b *uplinkBed) load(heavy, light int, period, d time.Duration) (passed []int, lost int) {
	b.t.Helper()
	passed = make([]int, heavy+light)
	b.offered, b.last = 0, time.Now()
	for next := b.last; b.offered < d; {
		for i := range heavy {
			if b.offer(i) {
				passed[i]++
			}
		}
		if b.last.Before(next) {
			continue
		}
		next = next.Add(period)
		if b.last.Sub(next) > stall {
			next = b.last.Add(period) // a light client does not catch up: that would be no light one
		}
		for i := heavy; i < heavy+light; i++ {
			if b.offer(i) {
				passed[i]++
			} else {
				lost++
			}
		}
	}
	return passed, lost
}

func (b *uplinkBed) uplink() bpf.HotspotUplink {
	b.t.Helper()
	var l bpf.HotspotUplink
	check(b.t, b.Uplinks.Lookup(uint32(bpf.Upload), &l))
	return l
}

// debt is how much the bucket has let through ahead of its speed.
func (b *uplinkBed) debt() time.Duration {
	b.t.Helper()
	return max(0, dataplane.Boottime(b.uplink().Bucket.TatNs).Sub(kernel.BootNow()))
}

// TestUplinkIsSharedByNeed: the light clients lose nothing, the heavy ones get even
// shares of the rest, and together they are held to the total.
func TestUplinkIsSharedByNeed(t *testing.T) {
	for _, test := range []struct{ heavy, light int }{{1, 0}, {2, 0}, {3, 4}, {20, 10}, {60, 0}} {
		t.Run(fmt.Sprint(test.heavy, " heavy ", test.light, " light"), func(t *testing.T) {
			bps, window, even := uint64(100_000_000), 700*time.Millisecond, 0.9
			if emulated() {
				// Or there would not be enough on offer; and a share is few packets then.
				bps, window, even = bps/10, 10*window, 0.75
			}
			b := newUplinkBed(t, bps, test.heavy+test.light, dataplane.Rule{})
			period := time.Duration(1_000_000_000_000_000 / bps) // 1.2 % of it each
			b.load(test.heavy, test.light, period, window)
			start, before := time.Now(), b.debt()
			passed, lost := b.load(test.heavy, test.light, period, window)
			elapsed := time.Since(start) + max(0, b.debt()-before) // what a stall had saved up
			if lost > 0 {
				t.Errorf("light clients lost %d packets", lost)
			}
			sum, least, most := 0, passed[0], passed[0]
			for i, n := range passed {
				sum += n
				if i < test.heavy {
					least, most = min(least, n), max(most, n)
				}
			}
			perSecond := float64(bps) / 8 / 1500
			fewest, mostOfAll := 0.97*perSecond*b.offered.Seconds(), 1.03*perSecond*elapsed.Seconds()
			if got := float64(sum); got < fewest || got > mostOfAll {
				t.Errorf("%.0f packets passed in %v, frames were on offer for %v of it; want %.0f to %.0f", got, elapsed, b.offered, fewest, mostOfAll)
			}
			if float64(least) < even*float64(most) {
				t.Errorf("heavy clients got %d to %d packets", least, most)
			}
			b.checkWork()
		})
	}
}

// checkWork: the work that lies in the slots is what the bucket has left to do.
func (b *uplinkBed) checkWork() {
	b.t.Helper()
	l := b.uplink()
	var work uint64
	for slot := l.Slot; slot <= l.LastSlot; slot++ {
		if w := l.Work[slot%uint64(len(l.Work))]; w>>40 == slot/uint64(len(l.Work)) {
			work += w & (1<<40 - 1)
		}
	}
	if work > l.Bucket.TatNs-l.VtimeAtNs || !b.met && work != l.Bucket.TatNs-l.VtimeAtNs {
		b.t.Errorf("%d ns of work, the bucket has %d ns left", work, l.Bucket.TatNs-l.VtimeAtNs)
	}
}

// TestUplinkBurst: a client alone gets the whole burst at once, and not more.
func TestUplinkBurst(t *testing.T) {
	b := newUplinkBed(t, 1_000_000, 1, dataplane.Rule{})
	passed := 0
	for b.offer(0) {
		passed++
	}
	if want := bpf.BurstFloorByte / 1500; passed < want || passed > want+1 {
		t.Errorf("%d packets at once, want %d", passed, want)
	}
}

// TestUplinkLeavesTheSpeed: a client's own speed holds below its share, and what it
// holds back costs the uplink nothing; what the uplink holds back costs no speed.
func TestUplinkLeavesTheSpeed(t *testing.T) {
	b := newUplinkBed(t, 100_000_000, 1, dataplane.Rule{UpBPS: dataplane.MinBPS})
	for b.offer(0) {
	}
	before := b.uplink()
	for range 100 {
		if b.offer(0) {
			t.Fatal("passed over the speed")
		}
	}
	// A bucket that has run empty meanwhile, as on an emulated CPU, is charged from now on.
	if after := b.uplink(); after.Bucket.TatNs > max(before.Bucket.TatNs, uint64(kernel.BootNow())) {
		t.Error("a drop for the speed was charged to the uplink")
	}
	b = newUplinkBed(t, dataplane.MinBPS, 1, dataplane.Rule{UpBPS: 100_000_000})
	for b.offer(0) {
	}
	tat := b.account(100).Bucket[bpf.Upload].TatNs
	if b.offer(0) || b.account(100).Bucket[bpf.Upload].TatNs != tat {
		t.Error("a drop for the uplink was charged to the speed")
	}
	if got := b.counted(100).RateDrops; got != 2 {
		t.Errorf("%d drops counted, want 2", got)
	}
}

// TestUplinkOfAnotherClock: a queue on the clock of another uplink, or of long ago, delays
// no client.
func TestUplinkOfAnotherClock(t *testing.T) {
	b := newUplinkBed(t, 1_000_000, 1, dataplane.Rule{})
	for _, end := range []uint64{1 << 62, ^uint64(0), 1} {
		u := b.account(100)
		u.UplinkNs[bpf.Upload] = end
		b.setAccount(100, u)
		if !b.offer(0) {
			t.Errorf("dropped with %d on the clock", end)
		}
	}
}

// TestUplinkOnManyCPUs: the sums hold when all CPUs charge at once.
func TestUplinkOnManyCPUs(t *testing.T) {
	b := newUplinkBed(t, 50_000_000, 4, dataplane.Rule{})
	before, start := b.stats(), kernel.BootNow()
	var crew []worker
	for _, frame := range b.frames {
		crew = append(crew, worker{bpf.Upload, frame, 200_000})
	}
	b.hammer(crew...)
	b.met = true
	s := mustSpeed(t, b.bps)
	depth := float64(s.BurstNs) * 9 / 4
	passed := b.since(before, forwarded)
	if most := float64(b.bps) / 8e9 * (float64(kernel.BootNow().Sub(start)) + depth); float64(passed.Bytes) > most+1500 {
		t.Errorf("%d bytes passed, want at most %.0f", passed.Bytes, most)
	}
	b.checkWork()
}

// TestUplinkBusy: an uplink that stays locked, because its holder was interrupted,
// costs no packet.
func TestUplinkBusy(t *testing.T) {
	b := newUplinkBed(t, 1_000_000, 1, dataplane.Rule{})
	l := b.uplink()
	l.Lock = 1
	b.put(b.Uplinks, uint32(bpf.Upload), &l)
	b.expect(bpf.Upload, b.frames[0], forwarded)
	after := b.uplink()
	if after.Bucket.TatNs == l.Bucket.TatNs || after.LastSlot != l.LastSlot {
		t.Errorf("the bucket alone should have been charged: %+v", after)
	}
}
