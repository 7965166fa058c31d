// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// expect runs a frame and fails unless its reason is want.
func (b *testbed) expect(dir int, frame []byte, want bpf.HotspotReason) {
	b.t.Helper()
	if got := b.run(dir, frame, 0); got.Reason != want {
		b.t.Errorf("%s, want %s", bpf.ReasonLabels[got.Reason], bpf.ReasonLabels[want])
	}
}

func (b *testbed) expectEvents(want ...dataplane.Event) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.events(), cmpopts.IgnoreFields(dataplane.Event{}, "At"), cmpopts.EquateEmpty()); diff != "" {
		b.t.Errorf("events (-want +got):\n%s", diff)
	}
}

func exhausted(account dataplane.Account) dataplane.Event {
	return dataplane.Event{Kind: dataplane.Exhausted, MAC: clientMAC, Account: account}
}

func deadlinePassed(account dataplane.Account) dataplane.Event {
	return dataplane.Event{Kind: dataplane.DeadlinePassed, MAC: clientMAC, Account: account}
}

func TestCounters(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	before := kernel.BootNow()
	for _, n := range []int{28, 29, 46, 47, 1500} { // with and without padding
		b.expect(bpf.Upload, packet4(t, bpf.Upload, n), forwarded)
	}
	b.expect(bpf.Download, packet4(t, bpf.Download, 1000), forwarded)
	b.expect(bpf.Download, packet4(t, bpf.Download, 600), forwarded)
	got := b.counted(7)
	want := dataplane.Counters{UpBytes: 28 + 29 + 46 + 47 + 1500, DownBytes: 1600, UpPackets: 5, DownPackets: 2, LastSeen: got.LastSeen}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if got.LastSeen < before || got.LastSeen > kernel.BootNow() {
		t.Errorf("last seen %d, want %d to %d", got.LastSeen, before, kernel.BootNow())
	}
	b.expectEvents()
}

// TestLastSeen: every frame from a client that passes shows that it is there. What is sent to
// it does not: it may have left long ago.
func TestLastSeen(t *testing.T) {
	arpRequest := build(t, l2(bpf.Upload, etherARP), arp(1))
	portal := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, portal4, protoTCP), tcp(bpf.Upload, 1, 443))
	answer := build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, portal4, protoTCP), tcp(bpf.Download, 1, 443))
	unlimited, ended := dataplane.Rule{LimitBytes: dataplane.NoLimit}, dataplane.Rule{LimitBytes: 1}
	tests := []struct {
		name  string
		rule  dataplane.Rule
		dir   int
		frame []byte
		seen  bool
	}{
		{"forwarded", unlimited, bpf.Upload, packet4(t, bpf.Upload, 100), true},
		{"local", unlimited, bpf.Upload, arpRequest, true},
		{"pre-auth after the limit", ended, bpf.Upload, portal, true},
		{"dropped at the limit", ended, bpf.Upload, packet4(t, bpf.Upload, 100), false},
		{"dropped at the deadline", dataplane.Rule{LimitBytes: dataplane.NoLimit, Deadline: 1}, bpf.Upload, packet4(t, bpf.Upload, 100), false},
		{"forwarded to it", unlimited, bpf.Download, packet4(t, bpf.Download, 100), false},
		{"local to it", unlimited, bpf.Download, build(t, l2(bpf.Download, etherARP), arp(1)), false},
		{"pre-auth to it", ended, bpf.Download, answer, false},
	}
	b := newTestbed(t, false)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			test.rule.Verdict, test.rule.Account = dataplane.Allow, 7
			b.grant(clientMAC, test.rule)
			b.run(bpf.Upload, packet4(t, bpf.Upload, 100), 0) // exhausts where there is a limit
			b.setAccount(7, func() bpf.HotspotAccount { u := b.account(7); u.LastSeenNs = 0; return u }())
			b.run(test.dir, test.frame, 0)
			if seen := b.counted(7).LastSeen != 0; seen != test.seen {
				t.Errorf("seen = %t", seen)
			}
		})
	}
}

func TestLimitToTheByte(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 3000})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1000), forwarded)
	b.expect(bpf.Download, packet4(t, bpf.Download, 1500), forwarded)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 500), forwarded) // the last byte
	b.expectEvents()
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expect(bpf.Download, packet4(t, bpf.Download, 28), limitDrop)
	b.expectEvents(exhausted(7))
	if got := b.counted(7); got.Spent() != 3000 || got.LimitDrops != 2 {
		t.Errorf("spent %d with %d drops, want 3000 and 2", got.Spent(), got.LimitDrops)
	}
}

// TestLimitCloses: after one packet that did not fit, smaller ones do not pass
// either; a top-up opens the account again, and its end has an event again.
func TestLimitCloses(t *testing.T) {
	b := newTestbed(t, false)
	rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 2999}
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), limitDrop)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 40), limitDrop)
	b.expectEvents(exhausted(7))

	rule.LimitBytes += 1
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded)
	b.expectEvents()
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 40), limitDrop)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 40), limitDrop)
	b.expectEvents(exhausted(7))

	b.grant(clientMAC, rule) // the same again is no top-up
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 40), limitDrop)
	b.expectEvents()

	rule.LimitBytes = dataplane.NoLimit
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded)
	if got := b.counted(7).Spent(); got != 4500 {
		t.Errorf("spent %d, want 4500", got)
	}
}

func TestLimitOfZero(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expectEvents(exhausted(7))
}

// TestLowerLimit: a limit below what is spent ends the account at once.
func TestLowerLimit(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 10_000})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1500), forwarded)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 1000})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expectEvents(exhausted(7))
}

func TestDeadline(t *testing.T) {
	b := newTestbed(t, false)
	rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Deadline: kernel.BootNow().Add(time.Hour)}
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), forwarded)

	rule.Deadline = kernel.BootNow()
	b.grant(clientMAC, rule)
	for range 3 {
		b.expect(bpf.Download, packet4(t, bpf.Download, 100), lateDrop)
	}
	b.expectEvents(deadlinePassed(7))

	rule.Deadline = kernel.BootNow() // another deadline, another event
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), lateDrop)
	b.expectEvents(deadlinePassed(7))

	rule.Deadline = kernel.BootNow().Add(time.Hour)
	b.grant(clientMAC, rule)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), forwarded)
	if got := b.counted(7); got.Spent() != 200 || got.DeadlineDrops != 4 {
		t.Errorf("spent %d with %d drops, want 200 and 4", got.Spent(), got.DeadlineDrops)
	}
}

// TestDeadlineIsExact: a packet passes before the deadline and never after it.
func TestDeadlineIsExact(t *testing.T) {
	b := newTestbed(t, false)
	frame := packet4(t, bpf.Upload, 100)
	deadline := kernel.BootNow().Add(20 * time.Millisecond)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Deadline: deadline})
	for ended := false; !ended; {
		before := kernel.BootNow()
		passed, err := b.send(bpf.Upload, frame, 0)
		after := kernel.BootNow()
		if err != nil {
			t.Fatal(err)
		}
		if passed && before >= deadline || !passed && after < deadline {
			t.Fatalf("passed = %t, %v to %v past the deadline", passed, before.Sub(deadline), after.Sub(deadline))
		}
		ended = !passed
	}
	if seen := b.counted(7).LastSeen; seen >= deadline {
		t.Errorf("last seen %v after the deadline", seen.Sub(deadline))
	}
}

func TestEventTime(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 1})
	before := kernel.BootNow()
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	after := kernel.BootNow()
	events := b.events()
	if len(events) != 1 || events[0].At < before || events[0].At > after {
		t.Errorf("events %v, want one between %d and %d", events, before, after)
	}
}

// TestEndedWithoutRoomForEvents: the end stays, and has its event when there is room.
func TestEndedWithoutRoomForEvents(t *testing.T) {
	b := newTestbed(t, false)
	capacity := int(b.HotspotObjects.Events.MaxEntries()) / (32 + 8)
	for account := dataplane.Account(1); account <= dataplane.Account(capacity)+10; account++ {
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: account, LimitBytes: 1})
		b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	}
	last := dataplane.Account(capacity) + 10
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	if n := len(b.events()); n == 0 || n > capacity {
		t.Fatalf("%d events, want what the ring holds", n)
	}
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expectEvents(exhausted(last))
}

// TestLocalIsFree: the router is free, and neither slowed nor let in after the end.
func TestLocalIsFree(t *testing.T) {
	ssh := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 22), blob(1000))
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 1000, UpBPS: 1000})
	for range 200 {
		b.expect(bpf.Upload, ssh, local)
	}
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 1000), forwarded)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expect(bpf.Upload, ssh, limitDrop)
	want := dataplane.Counters{UpBytes: 1000, UpPackets: 1, LimitDrops: 2}
	if diff := cmp.Diff(want, b.counted(7), cmpopts.IgnoreFields(dataplane.Counters{}, "LastSeen")); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// TestTopUpAtTheEnd: with the account spent, DNS and portal are there to buy more.
func TestTopUpAtTheEnd(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 100})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 101), limitDrop)
	b.expect(bpf.Upload, build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...), preauth)
	b.expect(bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080)), preauth)
	if got := b.counted(7); got.Spent() != 0 || got.LimitDrops != 1 {
		t.Errorf("spent %d with %d drops, want 0 and 1", got.Spent(), got.LimitDrops)
	}
}

// TestSharedAccount: two MACs on one account spend one limit.
func TestSharedAccount(t *testing.T) {
	b := newTestbed(t, false)
	rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 1000}
	b.grant(clientMAC, rule)
	b.grant(neighborMAC, rule)
	other := build(t, ether(neighborMAC, routerMAC, etherIPv4), ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, 1, 2), blob(572))
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 400), forwarded)
	b.expect(bpf.Upload, other, forwarded)
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 28), limitDrop)
	b.expectEvents(exhausted(7))
}

// TestMissingAccount is a rule whose counter user space removed too early.
func TestMissingAccount(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.setAccount(7, bpf.HotspotAccount{Id: 8}) // the place has another now
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 100), noAccount)
	if got := b.account(7); got != (bpf.HotspotAccount{Id: 8}) {
		t.Errorf("the program counted to the other account: %+v", got)
	}
}
