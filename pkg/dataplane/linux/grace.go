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
