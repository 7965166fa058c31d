// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// shared is an array map in this process's memory: what one side stores the other
// loads, without a call. Words that both use are stored and loaded by sync/atomic.
type mmapArray[T any] struct {
	memory []byte
	at     []T
}

// share maps an array map that was made with BPF_F_MMAPABLE.
func mmap[T any](m *ebpf.Map) (*mmapArray[T], error) {
	size := unsafe.Sizeof(*new(T))
	if size != uintptr(m.ValueSize()) || size%8 != 0 {
		return nil, fmt.Errorf("map %v: its values have %d bytes, ours %d", m, m.ValueSize(), size)
	}
	entries := int(m.MaxEntries())
	memory, err := unix.Mmap(m.FD(), 0, entries*int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, explain(fmt.Sprintf("mapping %v into memory", m), err)
	}
	return &mmapArray[T]{memory: memory, at: unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), entries)}, nil
}

// close unmaps it. A later use ends the process.
func (s *mmapArray[T]) close() {
	if s != nil {
		_ = unix.Munmap(s.memory)
	}
}
