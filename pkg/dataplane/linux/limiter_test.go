// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// hasQueues reports whether an account has its flows' queues.
func (d *Dataplane) hasQueues(t *testing.T, account dataplane.Account) bool {
	t.Helper()
	_, own := d.table.Accounts.Find(account)
	if own == nil {
		return false
	}
	for _, r := range d.table.Clients.All() {
		if r.Account == uint64(account) && r.FlowsIndex != own.Flows {
			t.Errorf("account %d has queue %d, its rule says %d", account, own.Flows, r.FlowsIndex)
		}
	}
	return own.Flows < d.maps.Flows.MaxEntries()
}

var limited = dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, DownBPS: 1_000_000}

// A restart with the other limiter swaps the programs under their links, and keeps
// rules and counters.
func TestLimiterChanges(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		opts.Limiter = dataplane.Bucket
		d := b.open(opts)
		check(t, d.Grant(phone, limited))
		b.count(limited.Account, 1500)
		links, epoch := b.linkIDs(), d.maps.Epoch
		programs := b.programIDs("lan", d.interfaces.attacher.Mode())
		for _, limiter := range []dataplane.Limiter{dataplane.Fair, dataplane.Bucket, dataplane.Fair} {
			check(t, d.Close())
			opts.Limiter = limiter
			d = b.open(opts)
			if got := d.Status().Limiter; got != limiter {
				t.Errorf("the status says %s, want %s", got, limiter)
			}
			if d.maps.Epoch != epoch {
				t.Errorf("%s: the counters were made anew", limiter)
			}
			if diff := cmp.Diff(links, b.linkIDs()); diff != "" {
				t.Errorf("%s: links were not kept (-before +after):\n%s", limiter, diff)
			}
			now := b.programIDs("lan", d.interfaces.attacher.Mode())
			if now[bpf.Upload] == programs[bpf.Upload] || now[bpf.Download] == programs[bpf.Download] {
				t.Errorf("%s: the other limiter's programs are still attached", limiter)
			}
			programs = now
			if r, err := d.Read(limited.Account); err != nil || r.Counters.Spent() != 1500 {
				t.Errorf("%s: %+v, %v, want 1500 bytes spent", limiter, r, err)
			}
			if d.hasQueues(t, limited.Account) != (limiter == dataplane.Fair) {
				t.Errorf("%s: the account has queues: %t", limiter, limiter != dataplane.Fair)
			}
			if left := b.programPins(); len(left) != bpf.Directions {
				t.Errorf("%s: pinned programs: %v", limiter, left)
			}
			_, err := os.Stat(filepath.Join(b.bpffs, "maps", bpf.HotspotMapFlows))
			if pinned := err == nil; pinned != (limiter == dataplane.Fair) {
				t.Errorf("%s: the queues are pinned: %t", limiter, pinned)
			}
		}
	})
}

// A restart that clamps windows or no longer does swaps the programs, and keeps the queues.
func TestClampingChanges(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	opts := b.options("lan")
	d := b.open(opts)
	check(t, d.Grant(phone, limited))
	want := bpf.HotspotFlows{Fair: [2]bpf.HotspotFair{{VtimeNs: 1}, {VtimeNs: 2}}}
	check(t, d.maps.Flows.Put(flowsOf(d, 7), &want))
	before := b.programIDs("lan", d.interfaces.attacher.Mode())
	for _, opts.TCPWindowClamp = range []bool{true, false} {
		check(t, d.Close())
		d = b.open(opts)
		after := b.programIDs("lan", d.interfaces.attacher.Mode())
		if after[bpf.Upload] == before[bpf.Upload] || after[bpf.Download] == before[bpf.Download] {
			t.Errorf("tcp window clamp %t: the other programs are still attached", opts.TCPWindowClamp)
		}
		if left := b.programPins(); len(left) != bpf.Directions {
			t.Errorf("tcp window clamp %t: pinned programs: %v", opts.TCPWindowClamp, left)
		}
		var got bpf.HotspotFlows
		check(t, d.maps.Flows.Lookup(flowsOf(d, 7), &got))
		if got != want {
			t.Errorf("tcp window clamp %t: queues after a restart: %+v", opts.TCPWindowClamp, got)
		}
		before = after
	}
}

// The same limiter adopts the queues: a restart keeps every backlog.
func TestQueuesAreAdopted(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	opts := b.options("lan")
	d := b.open(opts)
	check(t, d.Grant(phone, limited))
	want := bpf.HotspotFlows{Fair: [2]bpf.HotspotFair{{VtimeNs: 1}, {VtimeNs: 2}}}
	check(t, d.maps.Flows.Put(flowsOf(d, 7), &want))
	check(t, d.Close())
	var got bpf.HotspotFlows
	d = b.open(opts)
	check(t, d.maps.Flows.Lookup(flowsOf(d, 7), &got))
	if got != want {
		t.Errorf("queues after a restart: %+v", got)
	}
}

// Without the queues' map, programs that are pinned and work on it are replaced.
func TestMissingQueues(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	opts := b.options("lan")
	d := b.open(opts)
	check(t, d.Grant(phone, limited))
	epoch, before := d.maps.Epoch, b.programIDs("lan", d.interfaces.attacher.Mode())
	check(t, d.Close())
	check(t, os.Remove(filepath.Join(b.bpffs, "maps", bpf.HotspotMapFlows)))
	d = b.open(opts)
	after := b.programIDs("lan", d.interfaces.attacher.Mode())
	if before[bpf.Upload] == after[bpf.Upload] || before[bpf.Download] == after[bpf.Download] || d.maps.Epoch != epoch {
		t.Errorf("programs %v became %v, epoch %d became %d", before, after, epoch, d.maps.Epoch)
	}
	if !d.hasQueues(t, limited.Account) {
		t.Error("the account has no queues")
	}
}

// Queues come with the first rule that has a speed, and go with the account.
func TestQueuesOfAccounts(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	unlimited := limited
	unlimited.DownBPS = 0
	check(t, d.Grant(phone, unlimited))
	if d.hasQueues(t, 7) {
		t.Error("an account without a speed has queues")
	}
	check(t, d.Grant(phone, limited))
	if !d.hasQueues(t, 7) {
		t.Error("an account with a speed has no queues")
	}
	check(t, d.Revoke(phone))
	check(t, d.Forget(7))
	if d.hasQueues(t, 7) {
		t.Error("a forgotten account has queues")
	}
}

// Refused clients leave no queues.
func TestFullLeavesNoQueues(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.MaxClients = 1
	d := b.open(opts)
	check(t, d.Grant(phone, limited))
	second := limited
	second.Account = 8
	if err := d.Grant(dataplane.MAC{2, 0, 0, 0, 0, 9}, second); !errors.Is(err, dataplane.ErrFull) {
		t.Fatalf("a second client: %v, want %v", err, dataplane.ErrFull)
	}
	if d.hasQueues(t, 8) {
		t.Error("a refused client has queues")
	}
}

func TestUnknownLimiter(t *testing.T) {
	_, err := Options{Interfaces: []string{"lan"}, MaxClients: 1, Limiter: "htb"}.Normalized()
	if err == nil || !strings.Contains(err.Error(), `"htb"`) || !slices.Contains(strings.Fields(err.Error()), "fair") {
		t.Errorf("%v, want an error that names it and the known ones", err)
	}
}

// flowsOf returns where the queues of an account are.
func flowsOf(d *Dataplane, id dataplane.Account) uint32 {
	_, own := d.table.Accounts.Find(id)
	return own.Flows
}
