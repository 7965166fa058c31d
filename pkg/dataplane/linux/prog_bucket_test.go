// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// gcra is the rate limit as the textbook has it, in whole nanoseconds.
type gcra struct {
	speed bpf.Speed
	tat   uint64
}

func (g gcra) cost(bytes uint64) uint64 { return bytes * g.speed.RateNsPerByte >> bpf.RateShift }

// admit returns whether a packet of wire bytes passes at now, and the bucket after it.
func (g gcra) admit(wire, now uint64) (bool, gcra) {
	start := max(g.tat, now)
	if start-now+g.cost(min(wire, 1514)) > g.speed.BurstNs {
		return false, g
	}
	g.tat = start + g.cost(wire)
	return true, g
}

func mustSpeed(t testing.TB, bps uint64) bpf.Speed {
	t.Helper()
	s, err := bpf.NewSpeed("bps", bps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setBucket gives a bucket that many ns of backlog, made at speed s.
func (b *testbed) setBucket(account dataplane.Account, dir int, s bpf.Speed, backlog uint64) (tat uint64) {
	b.t.Helper()
	u := b.account(account)
	u.Bucket[dir].TatNs = uint64(kernel.BootNow()) + backlog
	u.Bucket[dir].RateNsPerByte = s.RateNsPerByte
	b.setAccount(account, u)
	return u.Bucket[dir].TatNs
}

// TestBucketAgainstModel: the kernel decides as the model does at some instant
// between before and after the run.
func TestBucketAgainstModel(t *testing.T) {
	b := newTestbed(t, false)
	rapid.Check(t, func(r *rapid.T) {
		s := mustSpeed(t, rapid.Uint64Range(dataplane.MinBPS, 10_000_000_000).Draw(r, "bps"))
		dir := rapid.IntRange(0, 1).Draw(r, "direction")
		payload := rapid.IntRange(20, 3000).Draw(r, "payload")
		size := rapid.SampledFrom([]int{0, 536, 1400}).Draw(r, "gso size")
		fill := rapid.Float64Range(0, 1.5).Draw(r, "fill")
		b := b.clean(t)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: s.BitPerS, DownBPS: s.BitPerS})
		model := gcra{speed: s, tat: b.setBucket(7, dir, s, uint64(fill*float64(s.BurstNs)))}
		wire := uint64(payload + 28)
		if size != 0 {
			wire, _ = segmented(28, payload, size)
		}

		before := uint64(kernel.BootNow())
		passed, err := b.send(dir, udp4(t, dir, payload), uint32(size))
		after := uint64(kernel.BootNow())
		if err != nil {
			t.Fatal(err)
		}
		early, first := model.admit(wire, before)
		late, last := model.admit(wire, after)
		if passed != early && passed != late {
			r.Fatalf("passed = %t, the model says %t", passed, late)
		}
		tat := b.account(7).Bucket[dir].TatNs
		switch {
		case !passed && tat != model.tat:
			r.Fatalf("a drop was charged %d ns", tat-model.tat)
		case passed && early && (tat < first.tat || tat > last.tat):
			r.Fatalf("tat %d, the model says %d to %d", tat, first.tat, last.tat)
		}
	})
}

// TestBucketAdmission: what must fit is the packet, or 1514 bytes of a longer one;
// what is charged is all of it.
func TestBucketAdmission(t *testing.T) {
	s := mustSpeed(t, dataplane.MinBPS) // a byte is 8 ms: no hurry between setting and sending
	super, _ := segmented(28, 3000, 1000)
	tests := []struct {
		name    string
		payload int
		gso     uint32
		room    uint64 // bytes
		pass    bool
		charge  uint64 // bytes
	}{
		{"fits", 972, 0, 1000, true, 1000},
		{"does not fit", 972, 0, 999, false, 0},
		{"small one into a full bucket", 0, 0, 28, true, 28},
		{"super-packet", 3000, 1000, 1514, true, super},
		{"super-packet and too full a bucket", 3000, 1000, 1513, false, 0},
		{"empty bucket", 972, 0, bpf.BurstFloorByte, true, 1000},
	}
	b := newTestbed(t, false)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MinBPS})
			model := gcra{speed: s}
			tat := b.setBucket(7, bpf.Upload, s, s.BurstNs-model.cost(test.room))
			passed, err := b.send(bpf.Upload, udp4(t, bpf.Upload, test.payload), test.gso)
			if err != nil {
				t.Fatal(err)
			}
			charged := b.account(7).Bucket[bpf.Upload].TatNs - tat
			if test.room == bpf.BurstFloorByte { // nothing was left of it: charged from now on
				charged = b.account(7).Bucket[bpf.Upload].TatNs - b.account(7).LastSeenNs
			}
			if passed != test.pass || charged != model.cost(test.charge) {
				t.Errorf("passed = %t, charged %d ns; want %t, %d", passed, charged, test.pass, model.cost(test.charge))
			}
		})
	}
}

// TestDropsCostNothing: neither the limit's drops nor the bucket's are paid for.
func TestDropsCostNothing(t *testing.T) {
	b := newTestbed(t, false)
	s := mustSpeed(t, dataplane.MinBPS)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 100, UpBPS: dataplane.MinBPS, DownBPS: dataplane.MinBPS})
	full := b.setBucket(7, bpf.Upload, s, s.BurstNs)
	free := b.setBucket(7, bpf.Download, s, 0)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 50), rateDrop)
	b.expect(bpf.Download, packet4(t, bpf.Download, 101), limitDrop)
	got := b.account(7)
	if got.Bucket[bpf.Upload].TatNs != full || got.Bucket[bpf.Download].TatNs != free {
		t.Error("a drop was charged to a bucket")
	}
	if c := b.counted(7); c.Spent() != 0 || c.RateDrops != 1 || c.LimitDrops != 1 {
		t.Errorf("%+v, want one drop each", c)
	}
}

// offering is what became of a frame that was sent again and again.
type offering struct {
	passed uint64             // bytes
	until  dataplane.Boottime // when the last one was dropped, at the earliest: the bucket was full
	pause  time.Duration      // the longest between two
}

// offer sends the frame for the time, and on until one is dropped. It repeats in
// the kernel, as a slow machine could not fill a fast bucket one by one.
func (b *testbed) offer(dir int, frame []byte, d time.Duration, pass bpf.HotspotReason) (o offering) {
	b.t.Helper()
	before, start := b.stats(), kernel.BootNow()
	for last := start; ; last = o.until {
		o.until = kernel.BootNow()
		o.pause = max(o.pause, o.until.Sub(last))
		ret, err := b.program(dir).Run(&ebpf.RunOptions{Data: frame, Repeat: 20})
		if err != nil {
			b.t.Fatal(err)
		}
		waited := o.until.Sub(start)
		if ret == actShot && waited >= d {
			o.passed = b.since(before, pass).Bytes
			return o
		}
		if waited > 100*d {
			b.t.Fatalf("no frame dropped in %v", waited)
		}
	}
}

// TestRateIsHeld offers as much as it can to a bucket that starts full.
func TestRateIsHeld(t *testing.T) {
	b := newTestbed(t, false)
	for dir := range bpf.Directions {
		for _, bps := range []uint64{1_000_000, 10_000_000, 100_000_000} {
			// A pause longer than the bucket is deep spills what it did not take.
			spilt := true
			for tries := 0; spilt && tries < 20; tries++ {
				spilt = testRate(b.clean(t), dir, bps)
			}
			if spilt {
				t.Errorf("%s at %d bit/s: the machine is too busy to offer as much", bpf.DirectionLabels[dir], bps)
			}
		}
	}
}

func testRate(b *testbed, dir int, bps uint64) (spilt bool) {
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bps, DownBPS: bps})
	s := mustSpeed(b.t, bps)
	start := kernel.BootNow()
	b.setBucket(7, dir, s, s.BurstNs)
	o := b.offer(dir, packet4(b.t, dir, 1500), 300*time.Millisecond, forwarded)
	bytesIn := func(d time.Duration) float64 { return float64(bps) / 8 * d.Seconds() }
	got, least, most := float64(o.passed), bytesIn(o.until.Sub(start)), bytesIn(kernel.BootNow().Sub(start))
	if spilt = o.pause > time.Duration(s.BurstNs)/2; spilt {
		least = 0
	}
	if got > most+1500 || got < least*0.999-2*1500 {
		b.t.Errorf("%s at %d bit/s: %.0f bytes passed, want %.0f to %.0f", bpf.DirectionLabels[dir], bps, got, least, most)
	}
	return spilt
}

// TestDirectionsHaveTheirOwnBuckets: a full one does not hold up the other.
func TestDirectionsHaveTheirOwnBuckets(t *testing.T) {
	b := newTestbed(t, false)
	s := mustSpeed(t, dataplane.MinBPS)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MinBPS, DownBPS: dataplane.MinBPS})
	b.setBucket(7, bpf.Upload, s, s.BurstNs)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), rateDrop)
	b.expect(bpf.Download, packet4(t, bpf.Download, 100), forwarded)
}

// TestNewSpeed: the debt of a slow rule does not hold up a faster one.
func TestNewSpeed(t *testing.T) {
	slow := mustSpeed(t, 64_000)
	full := func(b *testbed) {
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: slow.BitPerS})
		b.setBucket(7, bpf.Upload, slow, 2*slow.BurstNs) // 16 s
		b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), rateDrop)
	}
	t.Run("no limit", func(t *testing.T) {
		b := newTestbed(t, false)
		full(b)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
		b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded)
	})
	t.Run("faster", func(t *testing.T) {
		b := newTestbed(t, false)
		full(b)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: 10_000_000})
		start := kernel.BootNow()
		for passed := false; !passed; {
			var err error
			if passed, err = b.send(bpf.Upload, packet4(t, bpf.Upload, 1500), 0); err != nil {
				t.Fatal(err)
			}
			if waited := kernel.BootNow().Sub(start); waited > time.Second {
				t.Fatalf("nothing passed in %v", waited)
			}
		}
	})
	t.Run("slower", func(t *testing.T) {
		b := newTestbed(t, false)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: 10_000_000})
		fast := mustSpeed(t, 10_000_000)
		b.setBucket(7, bpf.Upload, fast, fast.BurstNs)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: slow.BitPerS})
		b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded) // 200 ms of its 8 s
	})
}
