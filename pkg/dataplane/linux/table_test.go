// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"maps"
	"testing"
	"time"
	"unsafe"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// manualGrace lets a grace period pass with each value that the channel gets.
func manualGrace(t *testing.T) (*tables.RCU, chan<- error) {
	t.Helper()
	g, pass := new(tables.RCU), make(chan error)
	g.Start(func() error { return <-pass })
	t.Cleanup(func() {
		g.Mu.Lock()
		g.Err = tables.ErrClosed
		g.Changed.Broadcast()
		g.Mu.Unlock()
		close(pass)
		g.Worker.Wait()
	})
	return g, pass
}

func TestGraceBeginsAfterItsTicket(t *testing.T) {
	g, pass := manualGrace(t)
	first := g.Next()
	for begun := tables.GracePeriod(0); begun < first; { // until it is on its way
		g.Mu.Lock()
		begun = g.Begun
		g.Mu.Unlock()
	}
	second := g.Next()
	if second <= first {
		t.Fatalf("ticket %d is for a grace period that has begun", second)
	}
	if third := g.Next(); third != second {
		t.Errorf("tickets %d and %d do not share a grace period", second, third)
	}
	pass <- nil
	if err := g.Wait(first); err != nil || g.Elapsed(second) {
		t.Errorf("%v; the second has passed: %t", err, g.Elapsed(second))
	}
	pass <- nil
	if err := g.Wait(second); err != nil {
		t.Error(err)
	}
}

func TestGraceReturnsWhatStoppedIt(t *testing.T) {
	g, pass := manualGrace(t)
	broken := errors.New("broken")
	first := g.Next()
	pass <- broken
	if err := g.Wait(first); !errors.Is(err, broken) || g.Elapsed(first) {
		t.Errorf("%v; passed: %t", err, g.Elapsed(first))
	}
}

// What packets in flight may know is not handed out.
func TestPoolHoldsBack(t *testing.T) {
	g, pass := manualGrace(t)
	p := tables.NewIndexAllocator(3, map[uint32]bool{1: true})
	got := make(map[uint32]bool)
	for range 2 {
		index, _, ok := p.Alloc(g)
		if !ok {
			t.Fatal("a free index is not handed out")
		}
		got[index] = true
	}
	if !got[0] || !got[2] {
		t.Errorf("took %v, want those that are free", got)
	}
	if _, wait, ok := p.Alloc(g); ok || wait != 0 {
		t.Errorf("an index out of nothing: wait %d, %t", wait, ok)
	}
	until := g.Next()
	p.Release(1, until)
	if _, wait, ok := p.Alloc(g); ok || wait != until {
		t.Errorf("wait %d, %t, want %d", wait, ok, until)
	}
	pass <- nil
	if err := g.Wait(until); err != nil {
		t.Fatal(err)
	}
	if index, _, ok := p.Alloc(g); !ok || index != 1 {
		t.Errorf("took %d, %t, want the one that was put back", index, ok)
	}
}

// A client that goes leaves its place for the next, and no other is refused.
func TestPlacesAreReclaimed(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.MaxClients = 4
	d := b.open(opts)
	for i := range 100 {
		mac := dataplane.MAC{2, 0, 0, 0, 1, byte(i)}
		check(t, d.Grant(mac, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(i + 1), LimitBytes: dataplane.NoLimit, DownBPS: 1_000_000}))
		if rules := maps.Collect(d.Rules()); len(rules) != 1 {
			t.Fatalf("client %d: %v", i, rules)
		}
		check(t, d.Revoke(mac))
		check(t, d.Forget(dataplane.Account(i+1)))
	}
	if n := len(d.table.Clients.ByMAC); n > 4 {
		t.Errorf("%d clients are remembered", n)
	}
}

// A count is final a grace period after the last rule that named the account.
func TestFinalReading(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	check(t, d.Grant(phone, allow))
	final := func() bool {
		r, err := d.Read(allow.Account)
		check(t, err)
		return r.Final
	}
	if final() {
		t.Error("final under a rule in force")
	}
	if err := d.Forget(allow.Account); err == nil {
		t.Error("an account that a rule names was forgotten")
	}
	check(t, d.Revoke(phone))
	for deadline := time.Now().Add(atOnce); !final(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never final")
		}
	}
	check(t, d.Grant(phone, allow))
	if final() {
		t.Error("final under a rule that is in force again")
	}
}

// An account that no rule named when the agent ended is final after the next start, too:
// the packets of before have left the programs by then.
func TestFinalReadingAfterARestart(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	d := b.open(opts)
	named := allow
	named.Account++
	check(t, d.Grant(phone, allow))
	check(t, d.Grant(dataplane.MAC{2, 0, 0, 0, 0, 9}, named))
	check(t, d.Revoke(phone))
	check(t, d.Close())
	d = b.open(opts)
	within(t, atOnce, "final", func() bool {
		r, err := d.Read(allow.Account)
		check(t, err)
		return r.Final
	})
	if r, err := d.Read(named.Account); err != nil || r.Final {
		t.Errorf("an account that a rule names: final %t, %v", r.Final, err)
	}
}

// Rules that come faster than grace periods pass wait for them, and none is lost.
func TestRulesInAHurry(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	for i := range uint64(50) {
		rule := allow
		rule.LimitBytes = i + 1
		check(t, d.Grant(phone, rule))
		if rules := maps.Collect(d.Rules()); rules[phone] != rule {
			t.Fatalf("%v, want %v", rules, rule)
		}
	}
}

// Of a large table little is mapped, whatever was used of it, and what was mapped
// once is there again when it is asked for.
func TestTablesAreMappedAsUsed(t *testing.T) {
	const clients = 2 * tables.MaxMmapChunks * tables.MmapChunk / int(unsafe.Sizeof(bpf.HotspotClient{}))
	b := newBox(t)
	opts := b.options("lan")
	opts.MaxClients = uint32(clients)
	want := make(map[dataplane.MAC]dataplane.Rule, clients)
	holds := func(d *Dataplane) {
		t.Helper()
		if got := maps.Collect(d.Rules()); !maps.Equal(got, want) {
			t.Errorf("%d rules; want %d", len(got), len(want))
		}
		places := make(map[uint32]dataplane.Account)
		check(t, d.ReadAll(func(some []dataplane.Reading) bool {
			for _, r := range some {
				places[r.Slot] = r.Account
			}
			return true
		}))
		if len(places) != len(want) {
			t.Errorf("accounts at %d places, want %d", len(places), len(want))
		}
		clients, accounts := d.table.Clients.Values, d.table.Accounts.Values
		if most := tables.MaxMmapChunks + 2; clients.Chunks > most || accounts.Chunks > most {
			t.Errorf("%d parts of the clients are mapped and %d of the accounts", clients.Chunks, accounts.Chunks)
		}
	}
	d := b.open(opts)
	if n := d.table.Clients.Values.Chunks + d.table.Accounts.Values.Chunks; n > 0 {
		t.Errorf("%d parts are mapped at the start, without a client", n)
	}
	for i := range clients {
		mac := dataplane.MAC{2, 0, 0, 1, byte(i >> 8), byte(i)}
		want[mac] = dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(i + 1), LimitBytes: uint64(i), DownBPS: 1_000_000}
		check(t, d.Grant(mac, want[mac]))
	}
	holds(d)
	check(t, d.Close())
	holds(b.open(opts))
}
