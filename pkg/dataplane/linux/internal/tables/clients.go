// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// clients knows where in the kernel each client's rule is. It belongs to the table,
// whose lock its caller holds.
type clients struct {
	grace    *RCU
	keys     *ebpf.Map // MAC -> index
	Values   *lazyMmap[bpf.HotspotClient]
	indexes  IndexAllocator           // of values
	ByMAC    map[dataplane.MAC]uint32 // index of those that have a rule, or had one
	at       []client                 // by that index, up to the highest that was used
	enforced int                      // rules in force
}

type client struct {
	mac      dataplane.MAC                              // zero: free
	inFlight [len(bpf.HotspotClient{}.Rule)]GracePeriod // until when packets read a rule that was in force
}

// adopt finds the clients that are there.
func (c *clients) adopt() error {
	c.ByMAC = make(map[dataplane.MAC]uint32)
	used := make(map[uint32]bool)
	recent := c.grace.Next()
	err := bpf.Walk(c.keys, 0, func(k bpf.HotspotMacKey, index *uint32) {
		c.add(bpf.MACFromWire(k), *index, recent)
		used[*index] = true
	})
	if err != nil {
		return kernel.Explain("reading the clients", err)
	}
	for range c.All() {
		c.enforced++
	}
	c.indexes = NewIndexAllocator(c.Values.entries, used)
	return nil
}

// add remembers a client whose rules packets may read until then.
func (c *clients) add(mac dataplane.MAC, index uint32, until GracePeriod) {
	for len(c.at) <= int(index) {
		c.at = append(c.at, client{})
	}
	c.ByMAC[mac] = index
	one := &c.at[index]
	one.mac = mac
	for place := range one.inFlight {
		one.inFlight[place] = until
	}
}

// All visits the rules in force, in the order of the table. A rule is there until the
// next one.
func (c *clients) All() iter.Seq2[dataplane.MAC, *bpf.HotspotRule] { return c.between(0, len(c.at)) }

// between is all for a part of the table.
func (c *clients) between(from, upTo int) iter.Seq2[dataplane.MAC, *bpf.HotspotRule] {
	return func(yield func(dataplane.MAC, *bpf.HotspotRule) bool) {
		for index := from; index < min(upTo, len(c.at)); index++ {
			c.Values.unmapIdle()
			mac := c.at[index].mac
			if mac == (dataplane.MAC{}) {
				continue
			}
			if rule := c.inForce(uint32(index)); rule != nil && !yield(mac, rule) {
				return
			}
		}
	}
}

// rule returns the rule in force of a client, or nil.
func (c *clients) rule(mac dataplane.MAC) *bpf.HotspotRule {
	if index, ok := c.ByMAC[mac]; ok {
		return c.inForce(index)
	}
	return nil
}

// inForce returns the rule of the client with an index, or nil. It is not written
// while it is in force.
func (c *clients) inForce(index uint32) *bpf.HotspotRule {
	entry := c.Values.at(index)
	if n := atomic.LoadUint32(&entry.InForce); n > 0 {
		return &entry.Rule[n-1]
	}
	return nil
}

// set puts a rule in force and returns the one that was, or nil. It may have to
// wait until packets in flight have left the places for it, or fail with ErrFull;
// it has changed nothing then.
func (c *clients) set(mac dataplane.MAC, rule *bpf.HotspotRule) (before *bpf.HotspotRule, wait GracePeriod, err error) {
	if index, ok := c.ByMAC[mac]; ok {
		place, wait := c.freeSlot(index)
		if wait != 0 {
			return nil, wait, nil
		}
		c.Values.at(index).Rule[place] = *rule
		return c.activate(index, uint32(place)+1), 0, nil
	}
	index, wait, ok := c.indexes.Alloc(c.grace)
	if !ok && wait == 0 {
		wait = c.reclaim()
		if wait == 0 {
			return nil, 0, fmt.Errorf("rule of %s: %w: %d", mac, dataplane.ErrFull, c.indexes.size)
		}
	}
	if !ok {
		return nil, wait, nil
	}
	*c.Values.at(index) = bpf.HotspotClient{Rule: [len(bpf.HotspotClient{}.Rule)]bpf.HotspotRule{*rule}}
	if err := c.keys.Put(bpf.MACToWire(mac), index); err != nil {
		c.indexes.Release(index, 0)
		return nil, 0, kernel.Explain("rule of "+mac.String(), err)
	}
	c.add(mac, index, 0)
	return c.activate(index, 1), 0, nil
}

// freeSlot returns a place that packets do not read, or until when they read it.
func (c *clients) freeSlot(index uint32) (place int, wait GracePeriod) {
	inForce := int(atomic.LoadUint32(&c.Values.at(index).InForce)) - 1
	until := &c.at[index].inFlight
	place = -1
	for i := range until {
		if i != inForce && (place < 0 || until[i] < until[place]) {
			place = i
		}
	}
	if !c.grace.Elapsed(until[place]) {
		return place, until[place]
	}
	return place, 0
}

// activate makes the rule at a place, counted from 1, or with 0 none, the one in
// force, for the next packet. It returns the one that was.
func (c *clients) activate(index, place uint32) (before *bpf.HotspotRule) {
	entry := c.Values.at(index)
	was := atomic.SwapUint32(&entry.InForce, place)
	if place > 0 {
		c.enforced++
	}
	if was > 0 {
		c.enforced--
		c.at[index].inFlight[was-1] = c.grace.Next()
		before = &entry.Rule[was-1]
	}
	return before
}

// clear takes the rule of a client out of force, and returns it.
func (c *clients) clear(mac dataplane.MAC) (before *bpf.HotspotRule) {
	index, ok := c.ByMAC[mac]
	if !ok {
		return nil
	}
	atomic.StoreUint32(&c.Values.at(index).RevokedS, uint32(kernel.BootNow()/dataplane.Boottime(time.Second)))
	return c.activate(index, 0)
}

// reclaim takes the places of clients without a rule back, and says from when on
// they can be used; 0 when there are none. Until then no key is added: the kernel
// gives the memory of a removed one to the next, while a packet may still read it.
func (c *clients) reclaim() (until GracePeriod) {
	for i, one := range c.at {
		index := uint32(i)
		c.Values.unmapIdle()
		if one.mac == (dataplane.MAC{}) || c.inForce(index) != nil || bpf.DeleteKey(c.keys, bpf.MACToWire(one.mac)) != nil {
			continue
		}
		delete(c.ByMAC, one.mac)
		c.at[i] = client{}
		until = c.grace.Next()
		c.indexes.Release(index, until)
	}
	return until
}
