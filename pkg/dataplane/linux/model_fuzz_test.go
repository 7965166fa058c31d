// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

var (
	strangerMAC = dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, 0x03} // has no rule
	blockedMAC  = dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, 0x04}
)

// FuzzVerdict has the programs and the model judge the same frames, one after another.
// They must agree about each: passed or dropped, why, and all that is counted.
//
//	go test ./pkg/dataplane -run '^$' -fuzz FuzzVerdict -fuzztime 5m
func FuzzVerdict(f *testing.F) {
	judges := newJudges(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, why := range judges.try(t, data) {
			t.Error(why)
		}
	})
}

// TestVerdictOfAnyFrame is FuzzVerdict with frames of another generator's choice. They
// meet every reason that there is without a speed of a client, in both directions.
func TestVerdictOfAnyFrame(t *testing.T) {
	judges := newJudges(t)
	rapid.Check(t, func(r *rapid.T) {
		for _, why := range judges.try(t, rapid.SliceOfN(rapid.Byte(), 1000, 2000).Draw(r, "script")) {
			r.Error(why)
		}
	})
	for dir := range bpf.Directions {
		for _, reason := range []bpf.HotspotReason{forwarded, local, preauth, bridged, noRule, blocked, limitDrop, lateDrop, malformed, noAccount, boundDrop, linkControl, otherVLAN, passGarden, gardenDrop} {
			if judges.met[dir][reason] == 0 {
				t.Errorf("%s: no frame met %s", bpf.DirectionLabels[dir], bpf.ReasonLabels[reason])
			}
		}
	}
}

// judges are the programs of a whole interface and of a bridge's port, without and with
// clients that are bound, answers, and names in the walled garden, and how often they said
// what.
type judges struct {
	beds [16]*testbed
	met  [bpf.Directions][bpf.HotspotReasonREASONS]int
}

// What a bed's number says of it.
const (
	bedPort = 1 << iota
	bedBind
	bedCaptive
	bedGarden
)

func newJudges(t testing.TB) *judges {
	defer func() { testbedBind = false }()
	var j judges
	for i := range j.beds {
		testbedBind = i&bedBind != 0
		j.beds[i] = newTestbed(t, i&bedPort != 0)
		var c dataplane.Captive
		var g dataplane.Garden
		if i&bedCaptive != 0 {
			c = testCaptive()
		}
		if i&bedGarden != 0 {
			g = modelGarden()
			j.beds[i].learn(g)
		}
		if i&(bedCaptive|bedGarden) != 0 {
			j.beds[i].answer(c, g, bpf.CaptiveNews)
		}
	}
	return &j
}

// trial is the programs next to the model, and where they disagree.
type trial struct {
	*testbed
	*script
	judges     *judges
	model      *model
	complaints []string
}

func (t *trial) complain(format string, args ...any) {
	t.complaints = append(t.complaints, fmt.Sprintf(format, args...))
}

// try plays a script: a client's rule, frames, more rules. It stops at the first frame
// that it returns complaints about.
func (j *judges) try(t *testing.T, data []byte) (complaints []string) {
	const most = 64 // frames
	s := &script{data}
	bed := s.below(len(j.beds))
	trial := &trial{testbed: j.beds[bed].clean(t), script: s, judges: j, model: newModel(bed)}
	trial.model.macsFull = trial.model.port && s.rarely(8)
	trial.setMACsFull(trial.model.macsFull)
	trial.allow(neighborMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 8, LimitBytes: dataplane.NoLimit})
	trial.allow(blockedMAC, dataplane.Rule{Verdict: dataplane.Block})
	trial.change()
	for range most {
		if bed&bedGarden != 0 && s.rarely(2) {
			trial.plant()
		}
		next := s.step
		if bed&bedGarden != 0 && s.rarely(2) {
			next = s.namedStep
		}
		trial.judge(next())
		if len(trial.complaints) > 0 || s.ended() {
			break
		}
		if s.rarely(6) {
			trial.change()
		}
	}
	trial.compareEvents()
	trial.compareLimited()
	return trial.complaints
}

func newModel(bed int) *model {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	var captive *captiveModel
	if bed&bedCaptive != 0 {
		captive = &captiveModel{testCaptive(), bpf.CaptiveSecret(testEpoch)}
	}
	var names *gardenModel
	if bed&bedGarden != 0 {
		names = newGardenModel(modelGarden())
	}
	return &model{
		captive: captive, names: names,
		world: world{
			port: bed&bedPort != 0, bind: bed&bedBind != 0, routerMACs: []dataplane.MAC{routerMAC}, vlans: []vlan{{typeVLAN, uplinkVLAN}},
			router:  []netip.Addr{addr(router4), addr(router6), addr(routerLL), addr(routerGarden4)},
			portals: furnishedPortals(),
			garden:  []netip.Prefix{prefix("192.0.2.0/24"), prefix("2001:db8:cafe::/48")},
		},
		rules: make(map[dataplane.MAC]dataplane.Rule), lost: make(map[dataplane.MAC]bool), accounts: make(map[dataplane.Account]modelAccount),
		limited: make(map[dataplane.MAC]modelBuckets), lookups: make(map[dataplane.MAC]dataplane.Boottime),
	}
}

// allow writes a rule for both.
func (t *trial) allow(mac dataplane.MAC, r dataplane.Rule) {
	t.grant(mac, r)
	t.model.rules[mac], t.model.lost[mac] = r, false
}

// change gives the client another rule.
func (t *trial) change() {
	spent := t.model.accounts[7].Spent()
	r := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit}
	r.Bound = pick(t.script, [4]byte{}, [4]byte{10, 0, 0, 50}, [4]byte{10, 0, 0, 51})
	switch t.below(8) {
	case 0:
		r = dataplane.Rule{}
		t.setRule(clientMAC, bpf.HotspotRule{AccountIndex: tables.NoIndex, FlowsIndex: tables.NoIndex})
		t.model.rules[clientMAC] = r
		return
	case 1:
	case 2:
		r.LimitBytes = spent + uint64(t.next())*16
	case 3:
		r.LimitBytes = uint64(t.next()) * 4
	case 4:
		r.Deadline = 1 + dataplane.Boottime(t.below(2))
	case 5:
		r.Deadline = kernel.BootNow().Add(time.Hour)
	case 6:
		r = dataplane.Rule{Verdict: dataplane.Block}
	case 7:
		r.Account = 99
		w, err := bpf.RuleToWire(r)
		check(t.t, err)
		w.AccountIndex, w.FlowsIndex = tables.NoIndex, tables.NoIndex
		t.setRule(clientMAC, w)
		t.model.rules[clientMAC], t.model.lost[clientMAC] = r, true
		return
	}
	t.allow(clientMAC, r)
}

// judge has both decide. Time passed while the programs ran: the model says what would
// have been before and after, and where that differs, the programs may have it either way.
func (t *trial) judge(s step) {
	earlier, later := t.model.clone(), t.model.clone()
	since := kernel.BootNow()
	before := t.stats()
	t.model.acknowledge(s)
	action, frame, err := t.exchange(s.dir, s.frame, uint32(s.gso))
	until := kernel.BootNow()
	if tooShortToRun(s.frame, err) {
		return
	}
	if err != nil {
		t.t.Fatalf("a frame of %d bytes: %v", len(s.frame), err)
	}
	got := t.only(s.dir, before)
	if isAnswer(got.Reason) {
		got.Answer = string(frame)
	}
	t.judges.met[s.dir][got.Reason]++
	first, last := earlier.judge(s.dir, s.frame, s.gso, since), later.judge(s.dir, s.frame, s.gso, until)
	t.model = earlier
	if got != first {
		t.model = later
	}
	if got != first && got != last {
		t.complain("%s: %s of %d bytes, the model says %s of %d\nframe %x, gso %d\nanswer %x\n  want %x\nrules %+v", bpf.DirectionLabels[s.dir],
			bpf.ReasonLabels[got.Reason], got.Wire, bpf.ReasonLabels[first.Reason], first.Wire, s.frame, s.gso, got.Answer, first.Answer, t.model.rules)
	}
	if want := actionFor(s.dir, got.Reason); action != want {
		t.complain("%s, but the program returned %d, want %d", bpf.ReasonLabels[got.Reason], action, want)
	}
	t.compareAccounts(since, until)
	client, _ := ends(s.dir, dataplane.MAC(s.frame[6:12]), dataplane.MAC(s.frame[0:6]))
	took := until - since
	if want, known := t.model.limited[client]; known {
		t.model.limited[client] = t.followLimited(t.PreauthBuckets, bpf.MACToWire(client), want, took)
	}
	t.model.allLimited = t.followLimited(t.PreauthBucketAll, uint32(0), t.model.allLimited, took)
	for mac, index := range t.places {
		var got bpf.HotspotDnsBucket
		check(t.t, t.ClientDns.Lookup(index, &got))
		mac := mac.(dataplane.MAC)
		t.model.lookups[mac] = t.followBucket(mac, got.TatNs, t.model.lookups[mac], took)
	}
	if s.opens.IsValid() && passes(got.Reason) && !slices.Contains(t.model.router, s.opens) {
		t.model.names.learn(s.opens, s.ttl, until)
	}
	t.compareGarden(time.Duration(took))
}

// actionFor is what a program returns with a reason: an answer goes back where the frame
// came from, or on in its place.
func actionFor(dir int, reason bpf.HotspotReason) uint32 {
	switch {
	case passes(reason):
		return actUnspec
	case !isAnswer(reason):
		return actShot
	case dir == bpf.Download:
		return actUnspec
	}
	return actRedirect
}

// isAnswer reports whether a frame became something else: so say the labels.
func isAnswer(r bpf.HotspotReason) bool {
	return r == bpf.HotspotReasonPASS_ANSWER || strings.HasPrefix(bpf.ReasonLabels[r], "answer_")
}

// tooShortToRun: the kernel refuses to try a program on an IP header that is cut.
func tooShortToRun(frame []byte, err error) bool {
	return errors.Is(err, unix.EINVAL) && len(frame) < 14+40
}

// compareAccounts compares what is counted, and takes over when a client was seen.
func (t *trial) compareAccounts(since, until dataplane.Boottime) {
	for _, id := range []dataplane.Account{7, 8} {
		got, want := t.counted(id), t.model.accounts[id]
		if diff := cmp.Diff(want.Counters, got, cmpopts.IgnoreFields(dataplane.Counters{}, "LastSeen")); diff != "" {
			t.complain("account %d (-model +counted):\n%s", id, diff)
		}
		seen := want.LastSeen >= since
		if (seen && (got.LastSeen < since || got.LastSeen > until)) || (!seen && got.LastSeen != want.LastSeen) {
			t.complain("account %d was last seen at %d, the model says %d", id, got.LastSeen, want.LastSeen)
		}
		want.LastSeen = got.LastSeen
		t.model.accounts[id] = want
	}
}

// followLimited returns when the buckets before paying are empty.
func (t *trial) followLimited(buckets *ebpf.Map, key any, want modelBuckets, took dataplane.Boottime) (now modelBuckets) {
	var got bpf.HotspotPreauthBucket
	if err := buckets.Lookup(key, &got); err != nil {
		t.complain("the buckets of %v: %v", key, err)
	}
	for kind := range now {
		now[kind] = t.followBucket(key, got.TatNs[kind], want[kind], took)
	}
	return now
}

// followBucket returns when a bucket is empty, which is as the model has it, but for the
// time that the frame took.
func (t *trial) followBucket(of any, tatNs uint64, want, took dataplane.Boottime) dataplane.Boottime {
	if off := dataplane.Boottime(tatNs) - want; off < -took || off > took {
		t.complain("a bucket of %v is empty %d ns later than the model's", of, off)
	}
	return dataplane.Boottime(tatNs)
}

func (t *trial) compareEvents() {
	if diff := cmp.Diff(t.model.events, t.events(), cmpopts.IgnoreFields(dataplane.Event{}, "At"), cmpopts.EquateEmpty()); diff != "" {
		t.complain("events (-model +got):\n%s", diff)
	}
}

// compareLimited: no other MAC has a place in the kernel.
func (t *trial) compareLimited() {
	got := make(map[dataplane.MAC]modelBuckets)
	var key bpf.HotspotMacKey
	var buckets bpf.HotspotPreauthBucket
	for entries := t.PreauthBuckets.Iterate(); entries.Next(&key, &buckets); {
		var empty modelBuckets
		for kind, tat := range buckets.TatNs {
			empty[kind] = dataplane.Boottime(tat)
		}
		got[key.Addr] = empty
	}
	if diff := cmp.Diff(t.model.limited, got, cmpopts.EquateEmpty()); diff != "" {
		t.complain("buckets before paying (-model +kernel):\n%s", diff)
	}
}
