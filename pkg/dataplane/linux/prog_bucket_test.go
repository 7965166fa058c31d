// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// gcra is the rate limit as the textbook has it, in whole nanoseconds.
type gcra struct {
	speed speed
	tat   uint64
}

func (g gcra) cost(bytes uint64) uint64 { return bytes * g.speed.rateNsPerByte >> rateShift }

// admit returns whether a packet of wire bytes passes at now, and the bucket after it.
func (g gcra) admit(wire, now uint64) (bool, gcra) {
	start := max(g.tat, now)
	if start-now+g.cost(min(wire, 1514)) > g.speed.burstNs {
		return false, g
	}
	g.tat = start + g.cost(wire)
	return true, g
}

func mustSpeed(t testing.TB, bps uint64) speed {
	t.Helper()
	s, err := newSpeed("bps", bps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setBucket gives a bucket that many ns of backlog, made at speed s.
func (b *testbed) setBucket(account dataplane.Account, dir int, s speed, backlog uint64) (tat uint64) {
	b.t.Helper()
	u := b.account(account)
	u.Bucket[dir].TatNs = uint64(BootNow()) + backlog
	u.Bucket[dir].RateNsPerByte = s.rateNsPerByte
	b.setAccount(account, u)
	return u.Bucket[dir].TatNs
}

// TestBucketAgainstModel: the kernel decides as the model does at some moment
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
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: s.bitPerS, DownBPS: s.bitPerS})
		model := gcra{speed: s, tat: b.setBucket(7, dir, s, uint64(fill*float64(s.burstNs)))}
		wire := uint64(payload + 28)
		if size != 0 {
			wire, _ = segmented(28, payload, size)
		}

		before := uint64(BootNow())
		passed, err := b.send(dir, udp4(t, dir, payload), uint32(size))
		after := uint64(BootNow())
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
		{"empty bucket", 972, 0, burstFloorByte, true, 1000},
	}
	b := newTestbed(t, false)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MinBPS})
			model := gcra{speed: s}
			tat := b.setBucket(7, upload, s, s.burstNs-model.cost(test.room))
			passed, err := b.send(upload, udp4(t, upload, test.payload), test.gso)
			if err != nil {
				t.Fatal(err)
			}
			charged := b.account(7).Bucket[upload].TatNs - tat
			if test.room == burstFloorByte { // nothing was left of it: charged from now on
				charged = b.account(7).Bucket[upload].TatNs - b.account(7).LastSeenNs
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
	full := b.setBucket(7, upload, s, s.burstNs)
	free := b.setBucket(7, download, s, 0)
	b.expect(upload, packet4(t, upload, 50), rateDrop)
	b.expect(download, packet4(t, download, 101), limitDrop)
	got := b.account(7)
	if got.Bucket[upload].TatNs != full || got.Bucket[download].TatNs != free {
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
func (b *testbed) offer(dir int, frame []byte, d time.Duration, pass hotspotReason) (o offering) {
	b.t.Helper()
	before, start := b.stats(), BootNow()
	for last := start; ; last = o.until {
		o.until = BootNow()
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
	for dir := range directions {
		for _, bps := range []uint64{1_000_000, 10_000_000, 100_000_000} {
			// A pause longer than the bucket is deep spills what it did not take.
			spilt := true
			for tries := 0; spilt && tries < 20; tries++ {
				spilt = testRate(b.clean(t), dir, bps)
			}
			if spilt {
				t.Errorf("%s at %d bit/s: the machine is too busy to offer as much", directionLabels[dir], bps)
			}
		}
	}
}

func testRate(b *testbed, dir int, bps uint64) (spilt bool) {
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: bps, DownBPS: bps})
	s := mustSpeed(b.t, bps)
	start := BootNow()
	b.setBucket(7, dir, s, s.burstNs)
	o := b.offer(dir, packet4(b.t, dir, 1500), 300*time.Millisecond, forwarded)
	bytesIn := func(d time.Duration) float64 { return float64(bps) / 8 * d.Seconds() }
	got, least, most := float64(o.passed), bytesIn(o.until.Sub(start)), bytesIn(BootNow().Sub(start))
	if spilt = o.pause > time.Duration(s.burstNs)/2; spilt {
		least = 0
	}
	if got > most+1500 || got < least*0.999-2*1500 {
		b.t.Errorf("%s at %d bit/s: %.0f bytes passed, want %.0f to %.0f", directionLabels[dir], bps, got, least, most)
	}
	return spilt
}

// TestDirectionsHaveTheirOwnBuckets: a full one does not hold up the other.
func TestDirectionsHaveTheirOwnBuckets(t *testing.T) {
	b := newTestbed(t, false)
	s := mustSpeed(t, dataplane.MinBPS)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: dataplane.MinBPS, DownBPS: dataplane.MinBPS})
	b.setBucket(7, upload, s, s.burstNs)
	b.expect(upload, packet4(t, upload, 100), rateDrop)
	b.expect(download, packet4(t, download, 100), forwarded)
}

// TestNewSpeed: the debt of a slow rule does not hold up a faster one.
func TestNewSpeed(t *testing.T) {
	slow := mustSpeed(t, 64_000)
	full := func(b *testbed) {
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: slow.bitPerS})
		b.setBucket(7, upload, slow, 2*slow.burstNs) // 16 s
		b.expect(upload, packet4(t, upload, 100), rateDrop)
	}
	t.Run("no limit", func(t *testing.T) {
		b := newTestbed(t, false)
		full(b)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
		b.expect(upload, packet4(t, upload, 1500), forwarded)
	})
	t.Run("faster", func(t *testing.T) {
		b := newTestbed(t, false)
		full(b)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: 10_000_000})
		start := BootNow()
		for passed := false; !passed; {
			var err error
			if passed, err = b.send(upload, packet4(t, upload, 1500), 0); err != nil {
				t.Fatal(err)
			}
			if waited := BootNow().Sub(start); waited > time.Second {
				t.Fatalf("nothing passed in %v", waited)
			}
		}
	})
	t.Run("slower", func(t *testing.T) {
		b := newTestbed(t, false)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: 10_000_000})
		fast := mustSpeed(t, 10_000_000)
		b.setBucket(7, upload, fast, fast.burstNs)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: slow.bitPerS})
		b.expect(upload, packet4(t, upload, 1500), forwarded) // 200 ms of its 8 s
	})
}
