// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const noIndex = uint32(hotspotAbiABI_NO_INDEX)

// accounts knows where in the kernel each account's counters and queues are. It
// belongs to the table, whose lock its caller holds.
type accounts struct {
	grace   *rcuGrace
	values  *lazyMmap[hotspotAccount]
	indexes indexAllocator               // of values
	queues  indexAllocator               // of flows
	fair    bool                         // an account with a speed has queues
	byID    map[dataplane.Account]uint32 // index of the counters
	at      []account                    // by that index, up to the highest that was used
}

type account struct {
	id       dataplane.Account // 0: nobody's
	flows    uint32            // or noIndex
	rules    uint32            // in force that name it
	inFlight gracePeriod       // until when packets may count to it, once no rule names it
}

// adopt finds the accounts that are there. Packets may still count to them by rules
// that are not in force any more.
func (a *accounts) adopt() {
	a.byID = make(map[dataplane.Account]uint32)
	used := make(map[uint32]bool)
	recent := a.grace.next()
	for index := range a.values.entries {
		a.values.unmapIdle()
		if id := dataplane.Account(a.values.at(index).Id); id != 0 {
			a.add(id, index).inFlight = recent
			used[index] = true
		}
	}
	a.indexes = newIndexAllocator(a.values.entries, used)
}

// add remembers an account whose counters are at an index.
func (a *accounts) add(id dataplane.Account, index uint32) *account {
	for len(a.at) <= int(index) {
		a.at = append(a.at, account{})
	}
	a.byID[id] = index
	a.at[index] = account{id: id, flows: noIndex}
	return &a.at[index]
}

// find returns an account and where it is, nil when there is none. It moves when another
// is added.
func (a *accounts) find(id dataplane.Account) (index uint32, own *account) {
	if index, ok := a.byID[id]; ok {
		return index, &a.at[index]
	}
	return 0, nil
}

// adoptRules takes over the queues that rules in force name.
func (a *accounts) adoptRules(rules iter.Seq2[dataplane.MAC, *hotspotRule], flows uint32) {
	used := make(map[uint32]bool)
	for _, r := range rules {
		_, own := a.find(dataplane.Account(r.Account))
		if own == nil {
			continue
		}
		own.rules++
		if r.FlowsIndex < flows && !used[r.FlowsIndex] {
			own.flows = r.FlowsIndex
			used[r.FlowsIndex] = true
		}
	}
	a.queues = newIndexAllocator(flows, used)
}

// open tells a rule where its account's counters and queues are, and makes what is
// missing. Without room it says until when places are held back, or fails with
// ErrFull; it has changed nothing then.
func (a *accounts) assign(rule *hotspotRule) (made bool, wait gracePeriod, err error) {
	rule.AccountIndex, rule.FlowsIndex = noIndex, noIndex
	id := dataplane.Account(rule.Account)
	if id == 0 {
		return false, 0, nil
	}
	index, own := a.find(id)
	if made = own == nil; made {
		if index, wait, err = a.create(id); wait != 0 || err != nil {
			return false, wait, err
		}
		own = &a.at[index]
	}
	if own.flows == noIndex && a.fair && hasSpeed(rule) {
		// Where no place is free the bucket alone holds the speed.
		if flows, _, ok := a.queues.alloc(a.grace); ok {
			own.flows = flows
		}
	}
	rule.AccountIndex, rule.FlowsIndex = index, own.flows
	return made, 0, nil
}

// create adds an account. It fails, or has to wait, as open does.
func (a *accounts) create(id dataplane.Account) (index uint32, wait gracePeriod, err error) {
	index, wait, ok := a.indexes.alloc(a.grace)
	if !ok && wait == 0 {
		return 0, 0, fmt.Errorf("account %d: %w: %d", id, dataplane.ErrFull, a.indexes.size)
	}
	if !ok {
		return 0, wait, nil
	}
	*a.values.at(index) = hotspotAccount{Id: uint64(id)}
	a.add(id, index)
	return index, 0, nil
}

func hasSpeed(r *hotspotRule) bool {
	return r.Speed[upload].BitPerS != 0 || r.Speed[download].BitPerS != 0
}

// name counts a rule in force that names an account.
func (a *accounts) addRule(id dataplane.Account) {
	if _, own := a.find(id); own != nil {
		own.rules++
	}
}

// unname is for a rule that was taken out of force. Its packets in flight may count
// to the account still.
func (a *accounts) dropRule(id dataplane.Account) {
	_, own := a.find(id)
	if own == nil {
		return
	}
	own.inFlight = a.grace.next()
	own.rules--
	if own.rules == 0 && own.flows != noIndex {
		a.queues.release(own.flows, own.inFlight)
		own.flows = noIndex
	}
}

// forget removes an account. What counts to it from now on, by a rule that is not
// in force any more, is lost: see Reading.Final.
func (a *accounts) forget(id dataplane.Account) error {
	index, own := a.find(id)
	if own == nil {
		return nil
	}
	if own.rules > 0 {
		return fmt.Errorf("account %d: %d rules in force name it", id, own.rules)
	}
	a.values.at(index).Id = 0
	if own.flows != noIndex {
		a.queues.release(own.flows, own.inFlight)
	}
	a.indexes.release(index, own.inFlight)
	delete(a.byID, id)
	*own = account{}
	return nil
}

// read returns the counters of an account.
func (a *accounts) read(index uint32) (c dataplane.Counters, final bool) {
	own := &a.at[index]
	final = own.rules == 0 && a.grace.elapsed(own.inFlight)
	return countersFromWire(a.values.at(index)), final
}

// countersFromWire reads while the programs write: each word is one that they wrote.
func countersFromWire(u *hotspotAccount) dataplane.Counters {
	return dataplane.Counters{
		UpBytes:       atomic.LoadUint64(&u.Counter[upload].Bytes),
		DownBytes:     atomic.LoadUint64(&u.Counter[download].Bytes),
		UpPackets:     atomic.LoadUint64(&u.Counter[upload].Packets),
		DownPackets:   atomic.LoadUint64(&u.Counter[download].Packets),
		RateDrops:     atomic.LoadUint64(&u.RateDrops),
		LimitDrops:    atomic.LoadUint64(&u.LimitDrops),
		DeadlineDrops: atomic.LoadUint64(&u.DeadlineDrops),
		LastSeen:      boottimeFromWire(atomic.LoadUint64(&u.LastSeenNs)),
	}
}
