// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"github.com/cilium/ebpf"
)

// grace lets RCU grace periods pass: after one, every packet that was on its way
// through the programs when it began has left them.
//
// The kernel promises this of an update of a map of maps ("user space knows that
// all programs use the new map", maybe_wait_bpf_programs in kernel/bpf/syscall.c,
// since 5.0). membarrier(2) would do the same, but is left out of some router kernels.
// Safe for concurrent use; who waits at the same time shares a grace period.
type grace struct{ outer, inner *ebpf.Map }

func newGrace() (*grace, error) {
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
	return &grace{outer: o, inner: i}, nil
}

// pass blocks for a grace period, some milliseconds.
func (g *grace) pass() error {
	if err := g.outer.Put(uint32(0), g.inner); err != nil {
		return explain("waiting for packets in flight", err)
	}
	return nil
}

func (g *grace) close() {
	_ = g.outer.Close()
	_ = g.inner.Close()
}
