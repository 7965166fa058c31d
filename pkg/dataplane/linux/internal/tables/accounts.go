// SPDX-License-Identifier: Apache-2.0

// Package tables writes clients, accounts and their queues into the kernel's maps, and
// reads the counters.
package tables

import (
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// NoIndex is no index: of a client without an account, or an account without queues.
const NoIndex = uint32(bpf.HotspotAbiABI_NO_INDEX)

// accounts knows where in the kernel each account's counters and queues are. It
// belongs to the table, whose lock its caller holds.
type accounts struct {
	grace   *RCU
	Values  *lazyMmap[bpf.HotspotAccount]
	indexes IndexAllocator               // of values
	queues  IndexAllocator               // of flows
	fair    bool                         // an account with a speed has queues
	byID    map[dataplane.Account]uint32 // index of the counters
	at      []account                    // by that index, up to the highest that was used
}

type account struct {
	id       dataplane.Account // 0: free
	Flows    uint32            // or NoIndex
	rules    uint32            // in force that name it
	inFlight GracePeriod       // until when packets may count to it, once no rule names it
}

// adopt finds the accounts that are there. Packets may still count to them by rules
// that are not in force any more.
func (a *accounts) adopt() {
	a.byID = make(map[dataplane.Account]uint32)
	used := make(map[uint32]bool)
	recent := a.grace.Next()
	for index := range a.Values.entries {
		a.Values.unmapIdle()
		if id := dataplane.Account(a.Values.at(index).Id); id != 0 {
			a.add(id, index).inFlight = recent
			used[index] = true
		}
	}
	a.indexes = NewIndexAllocator(a.Values.entries, used)
}

// add remembers an account whose counters are at an index.
func (a *accounts) add(id dataplane.Account, index uint32) *account {
	for len(a.at) <= int(index) {
		a.at = append(a.at, account{})
	}
	a.byID[id] = index
	a.at[index] = account{id: id, Flows: NoIndex}
	return &a.at[index]
}

// Find returns an account and where it is, nil when there is none. It moves when another
// is added.
func (a *accounts) Find(id dataplane.Account) (index uint32, own *account) {
	if index, ok := a.byID[id]; ok {
		return index, &a.at[index]
	}
	return 0, nil
}

// adoptRules takes over the queues that rules in force name.
func (a *accounts) adoptRules(rules iter.Seq2[dataplane.MAC, *bpf.HotspotRule], flows uint32) {
	used := make(map[uint32]bool)
	for _, r := range rules {
		_, own := a.Find(dataplane.Account(r.Account))
		if own == nil {
			continue
		}
		own.rules++
		if r.FlowsIndex < flows && !used[r.FlowsIndex] {
			own.Flows = r.FlowsIndex
			used[r.FlowsIndex] = true
		}
	}
	a.queues = NewIndexAllocator(flows, used)
}

// assign writes into a rule where its account's counters and queues are, and makes what is
// missing. Without room it says until when places are held back, or fails with
// ErrFull; it has changed nothing then.
func (a *accounts) assign(rule *bpf.HotspotRule) (made bool, wait GracePeriod, err error) {
	rule.AccountIndex, rule.FlowsIndex = NoIndex, NoIndex
	id := dataplane.Account(rule.Account)
	if id == 0 {
		return false, 0, nil
	}
	index, own := a.Find(id)
	if made = own == nil; made {
		if index, wait, err = a.create(id); wait != 0 || err != nil {
			return false, wait, err
		}
		own = &a.at[index]
	}
	if own.Flows == NoIndex && a.fair && hasSpeed(rule) {
		// Where no place is free the bucket alone holds the speed.
		if flows, _, ok := a.queues.Alloc(a.grace); ok {
			own.Flows = flows
		}
	}
	rule.AccountIndex, rule.FlowsIndex = index, own.Flows
	return made, 0, nil
}

// create adds an account. It fails, or has to wait, as open does.
func (a *accounts) create(id dataplane.Account) (index uint32, wait GracePeriod, err error) {
	index, wait, ok := a.indexes.Alloc(a.grace)
	if !ok && wait == 0 {
		return 0, 0, fmt.Errorf("account %d: %w: %d", id, dataplane.ErrFull, a.indexes.size)
	}
	if !ok {
		return 0, wait, nil
	}
	*a.Values.at(index) = bpf.HotspotAccount{Id: uint64(id)}
	a.add(id, index)
	return index, 0, nil
}

func hasSpeed(r *bpf.HotspotRule) bool {
	return r.Speed[bpf.Upload].BitPerS != 0 || r.Speed[bpf.Download].BitPerS != 0
}

// addRule counts a rule in force that names an account.
func (a *accounts) addRule(id dataplane.Account) {
	if _, own := a.Find(id); own != nil {
		own.rules++
	}
}

// dropRule is for a rule that was taken out of force. Its packets in flight may count
// to the account still.
func (a *accounts) dropRule(id dataplane.Account) {
	_, own := a.Find(id)
	if own == nil {
		return
	}
	own.inFlight = a.grace.Next()
	own.rules--
	if own.rules == 0 && own.Flows != NoIndex {
		a.queues.Release(own.Flows, own.inFlight)
		own.Flows = NoIndex
	}
}

// forget removes an account. What counts to it from now on, by a rule that is not
// in force any more, is lost: see Reading.Final.
func (a *accounts) forget(id dataplane.Account) error {
	index, own := a.Find(id)
	if own == nil {
		return nil
	}
	if own.rules > 0 {
		return fmt.Errorf("account %d: %d rules in force name it", id, own.rules)
	}
	a.Values.at(index).Id = 0
	if own.Flows != NoIndex {
		a.queues.Release(own.Flows, own.inFlight)
	}
	a.indexes.Release(index, own.inFlight)
	delete(a.byID, id)
	*own = account{}
	return nil
}

// read returns the counters of an account.
func (a *accounts) read(index uint32) (c dataplane.Counters, final bool) {
	own := &a.at[index]
	final = own.rules == 0 && a.grace.Elapsed(own.inFlight)
	return CountersFromWire(a.Values.at(index)), final
}

// CountersFromWire reads while the programs write: each word is one that they wrote.
func CountersFromWire(u *bpf.HotspotAccount) dataplane.Counters {
	return dataplane.Counters{
		UpBytes:       atomic.LoadUint64(&u.Counter[bpf.Upload].Bytes),
		DownBytes:     atomic.LoadUint64(&u.Counter[bpf.Download].Bytes),
		UpPackets:     atomic.LoadUint64(&u.Counter[bpf.Upload].Packets),
		DownPackets:   atomic.LoadUint64(&u.Counter[bpf.Download].Packets),
		RateDrops:     atomic.LoadUint64(&u.RateDrops),
		LimitDrops:    atomic.LoadUint64(&u.LimitDrops),
		DeadlineDrops: atomic.LoadUint64(&u.DeadlineDrops),
		LastSeen:      bpf.BoottimeFromWire(atomic.LoadUint64(&u.LastSeenNs)),
	}
}
