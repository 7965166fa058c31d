// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// RCU lets RCU grace periods pass: after one, every packet that was on its way
// through the programs when it began has left them.
//
// The kernel promises this of an update of a map of maps ("user space knows that
// all programs use the new map", maybe_wait_bpf_programs in kernel/bpf/syscall.c,
// since 5.0). membarrier(2) would do the same, but is left out of some router kernels.
//
// Grace periods, some milliseconds each, pass in the background, while a caller
// needs one; callers that ask at the same time share it. Safe for concurrent use.
type RCU struct {
	outer, inner *ebpf.Map
	pass         func() error // blocks for a grace period

	Mu      sync.Mutex
	Changed sync.Cond
	wanted  GracePeriod // the latest that was handed out
	Begun   GracePeriod
	done    GracePeriod
	Err     error // what stopped it
	Worker  sync.WaitGroup
}

// GracePeriod numbers a grace period. 0 is one that has always passed.
type GracePeriod uint64

// ErrClosed is what waiting for a grace period fails with after Close.
var ErrClosed = errors.New("the dataplane is closed")

// NewRCU makes the maps it needs, and starts.
func NewRCU() (*RCU, error) {
	inner := &ebpf.MapSpec{Name: "grace_inner", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	outer := &ebpf.MapSpec{Name: "grace", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner}
	o, err := ebpf.NewMap(outer)
	if err != nil {
		return nil, kernel.Explain("making a map of maps", err)
	}
	i, err := ebpf.NewMap(inner)
	if err != nil {
		_ = o.Close()
		return nil, kernel.Explain("making a map", err)
	}
	g := &RCU{outer: o, inner: i}
	g.Start(func() error {
		if err := o.Put(uint32(0), i); err != nil {
			return kernel.Explain("waiting for packets in flight", err)
		}
		return nil
	})
	return g, nil
}

// Start runs the worker. pass blocks for a grace period.
func (g *RCU) Start(pass func() error) {
	g.pass = pass
	g.Changed.L = &g.Mu
	g.Worker.Go(g.run)
}

// run lets the grace periods pass that are wanted.
func (g *RCU) run() {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for g.Err == nil {
		if g.wanted <= g.Begun {
			g.Changed.Wait()
			continue
		}
		g.Begun++
		g.Mu.Unlock()
		err := g.pass()
		g.Mu.Lock()
		if err != nil && g.Err == nil {
			g.Err = err
		} else if err == nil {
			g.done = g.Begun
		}
		g.Changed.Broadcast()
	}
}

// Next is for a grace period that begins after now.
func (g *RCU) Next() GracePeriod {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	if g.wanted == g.Begun {
		g.wanted++
		g.Changed.Broadcast()
	}
	return g.wanted
}

// Elapsed says whether a grace period is over.
func (g *RCU) Elapsed(t GracePeriod) bool {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	return t <= g.done
}

// Wait blocks until a grace period is over.
func (g *RCU) Wait(t GracePeriod) error {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for t > g.done {
		if g.Err != nil {
			return g.Err
		}
		g.Changed.Wait()
	}
	return nil
}

// Close ends the worker. Wait returns ErrClosed from now on.
func (g *RCU) Close() {
	g.Mu.Lock()
	if g.Err == nil {
		g.Err = ErrClosed
	}
	g.Changed.Broadcast()
	g.Mu.Unlock()
	g.Worker.Wait()
	_ = g.outer.Close()
	_ = g.inner.Close()
}

// IndexAllocator hands out the indexes of an array map. One that packets in flight may still
// know is held back until a grace period has passed.
type IndexAllocator struct {
	size        uint32
	next        uint32   // all from here on were never used
	free        []uint32 // used and free again
	quarantined []quarantinedIndex
}

type quarantinedIndex struct {
	index uint32
	until GracePeriod
}

// NewIndexAllocator makes a pool of size indexes of which some are in use.
func NewIndexAllocator(size uint32, used map[uint32]bool) IndexAllocator {
	p := IndexAllocator{size: size}
	for index := range used {
		p.next = max(p.next, index+1)
	}
	for index := range p.next {
		if !used[index] {
			p.free = append(p.free, index)
		}
	}
	return p
}

// Alloc returns an index. When all that are not in use are held back, it says until
// when, and when there are none it returns false.
func (p *IndexAllocator) Alloc(g *RCU) (index uint32, wait GracePeriod, ok bool) {
	for len(p.quarantined) > 0 && g.Elapsed(p.quarantined[0].until) {
		p.free = append(p.free, p.quarantined[0].index)
		p.quarantined = p.quarantined[1:]
	}
	switch {
	case len(p.free) > 0:
		index = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		return index, 0, true
	case p.next < p.size:
		p.next++
		return p.next - 1, 0, true
	case len(p.quarantined) > 0:
		return 0, p.quarantined[0].until, false
	}
	return 0, 0, false
}

// Release gives an index back, to be taken again from a grace period on.
func (p *IndexAllocator) Release(index uint32, until GracePeriod) {
	p.quarantined = append(p.quarantined, quarantinedIndex{index, until})
}
