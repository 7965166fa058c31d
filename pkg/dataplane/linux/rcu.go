// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"sync"

	"github.com/cilium/ebpf"
)

// grace lets RCU grace periods pass: after one, every packet that was on its way
// through the programs when it began has left them.
//
// The kernel promises this of an update of a map of maps ("user space knows that
// all programs use the new map", maybe_wait_bpf_programs in kernel/bpf/syscall.c,
// since 5.0). membarrier(2) would do the same, but is left out of some router kernels.
//
// Grace periods, some milliseconds each, pass in the background, while somebody
// needs one; all who ask at the same time share it. Safe for concurrent use.
type rcuGrace struct {
	outer, inner *ebpf.Map
	pass         func() error // blocks for a grace period

	mu      sync.Mutex
	changed sync.Cond
	wanted  gracePeriod // the latest that somebody holds
	begun   gracePeriod
	done    gracePeriod
	err     error // what stopped it
	worker  sync.WaitGroup
}

// ticket numbers a grace period. 0 is one that has always passed.
type gracePeriod uint64

var errClosed = errors.New("the dataplane is closed")

func newRCUGrace() (*rcuGrace, error) {
	inner := &ebpf.MapSpec{Name: "grace_inner", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	outer := &ebpf.MapSpec{Name: "grace", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner}
	o, err := ebpf.NewMap(outer)
	if err != nil {
		return nil, explain("making a map of maps", err)
	}
	i, err := ebpf.NewMap(inner)
	if err != nil {
		_ = o.Close()
		return nil, explain("making a map", err)
	}
	g := &rcuGrace{outer: o, inner: i}
	g.start(func() error {
		if err := o.Put(uint32(0), i); err != nil {
			return explain("waiting for packets in flight", err)
		}
		return nil
	})
	return g, nil
}

func (g *rcuGrace) start(pass func() error) {
	g.pass = pass
	g.changed.L = &g.mu
	g.worker.Go(g.run)
}

// run lets the grace periods pass that are wanted.
func (g *rcuGrace) run() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.err == nil {
		if g.wanted <= g.begun {
			g.changed.Wait()
			continue
		}
		g.begun++
		g.mu.Unlock()
		err := g.pass()
		g.mu.Lock()
		if err != nil && g.err == nil {
			g.err = err
		} else if err == nil {
			g.done = g.begun
		}
		g.changed.Broadcast()
	}
}

// ticket is for a grace period that begins after now.
func (g *rcuGrace) next() gracePeriod {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted == g.begun {
		g.wanted++
		g.changed.Broadcast()
	}
	return g.wanted
}

// passed says whether a grace period is over.
func (g *rcuGrace) elapsed(t gracePeriod) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return t <= g.done
}

// wait blocks until a grace period is over.
func (g *rcuGrace) wait(t gracePeriod) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t > g.done {
		if g.err != nil {
			return g.err
		}
		g.changed.Wait()
	}
	return nil
}

func (g *rcuGrace) close() {
	g.mu.Lock()
	if g.err == nil {
		g.err = errClosed
	}
	g.changed.Broadcast()
	g.mu.Unlock()
	g.worker.Wait()
	_ = g.outer.Close()
	_ = g.inner.Close()
}

// pool hands out the indexes of an array map. One that packets in flight may still
// know is held back until a grace period has passed.
type indexAllocator struct {
	size        uint32
	next        uint32   // all from here on were never used
	free        []uint32 // used and free again
	quarantined []quarantinedIndex
}

type quarantinedIndex struct {
	index uint32
	until gracePeriod
}

// newIndexAllocator makes a pool of size indexes of which some are in use.
func newIndexAllocator(size uint32, used map[uint32]bool) indexAllocator {
	p := indexAllocator{size: size}
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

// take returns an index. When all that are not in use are held back, it says until
// when, and when there are none it returns false.
func (p *indexAllocator) alloc(g *rcuGrace) (index uint32, wait gracePeriod, ok bool) {
	for len(p.quarantined) > 0 && g.elapsed(p.quarantined[0].until) {
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

// put gives an index back, to be taken again from a grace period on.
func (p *indexAllocator) release(index uint32, until gracePeriod) {
	p.quarantined = append(p.quarantined, quarantinedIndex{index, until})
}
