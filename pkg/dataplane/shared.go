// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// shared is an array map in this process's memory: what one side stores the other
// loads, without a call. Words that both use are stored and loaded by sync/atomic.
//
// What is mapped counts as the process's own memory, used or not. So a large table is
// mapped as far as it is used: keep lets go of the rest, and reach maps more of it.
type shared[T any] struct {
	kernel *ebpf.Map
	memory []byte // room for all of it
	mapped int    // bytes of memory, from its begin; a use beyond ends the process
	at     []T
}

// mapStep is how many bytes are mapped at a time; a multiple of every page size.
const mapStep = 64 << 10

// share maps all of an array map that was made with BPF_F_MMAPABLE. The map has to
// stay open.
func share[T any](m *ebpf.Map) (*shared[T], error) {
	size := unsafe.Sizeof(*new(T))
	if size != uintptr(m.ValueSize()) || size%8 != 0 {
		return nil, fmt.Errorf("map %v: its values have %d bytes, ours %d", m, m.ValueSize(), size)
	}
	entries := int(m.MaxEntries())
	memory, err := unix.Mmap(m.FD(), 0, entries*int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, explain(fmt.Sprintf("mapping %v into memory", m), err)
	}
	at := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), entries)
	return &shared[T]{kernel: m, memory: memory, mapped: len(memory), at: at}, nil
}

// keep lets go of all but the first entries.
func (s *shared[T]) keep(entries uint32) error {
	from := s.steps(entries)
	if from >= s.mapped {
		return nil
	}
	err := s.place(from, len(s.memory), -1, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err == nil {
		s.mapped = from
	}
	return err
}

// reach sees to it that the first entries can be used.
func (s *shared[T]) reach(entries uint32) error {
	upTo := s.steps(entries)
	if upTo <= s.mapped {
		return nil
	}
	err := s.place(s.mapped, upTo, s.kernel.FD(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		s.mapped = upTo
	}
	return err
}

// steps is how many bytes the first entries take, in whole steps.
func (s *shared[T]) steps(entries uint32) int {
	bytes := int(entries) * int(unsafe.Sizeof(*new(T)))
	return min((bytes+mapStep-1)/mapStep*mapStep, len(s.memory))
}

// place maps something in the place of a part of the memory.
func (s *shared[T]) place(from, upTo, fd, prot, flags int) error {
	at := unsafe.Pointer(&s.memory[from])
	if _, err := unix.MmapPtr(fd, int64(from), at, uintptr(upTo-from), prot, flags|unix.MAP_FIXED); err != nil {
		return explain(fmt.Sprintf("mapping %d bytes of %v into memory", upTo-from, s.kernel), err)
	}
	return nil
}

// close unmaps it. A later use ends the process.
func (s *shared[T]) close() {
	if s != nil {
		_ = unix.Munmap(s.memory)
	}
}
