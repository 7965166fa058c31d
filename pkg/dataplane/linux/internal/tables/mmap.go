// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// MmapArray is an array map in this process's memory: what one side stores the other
// loads, without a call. Words that both use are stored and loaded by sync/atomic.
type MmapArray[T any] struct {
	memory []byte
	At     []T
}

// Mmap maps an array map that was made with BPF_F_MMAPABLE.
func Mmap[T any](m *ebpf.Map) (*MmapArray[T], error) {
	size := unsafe.Sizeof(*new(T))
	if size != uintptr(m.ValueSize()) || size%8 != 0 {
		return nil, fmt.Errorf("map %v: its values have %d bytes, ours %d", m, m.ValueSize(), size)
	}
	entries := int(m.MaxEntries())
	memory, err := unix.Mmap(m.FD(), 0, entries*int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, kernel.Explain(fmt.Sprintf("mapping %v into memory", m), err)
	}
	return &MmapArray[T]{memory: memory, At: unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), entries)}, nil
}

// Close unmaps it. A later use ends the process.
func (s *MmapArray[T]) Close() {
	if s != nil {
		_ = unix.Munmap(s.memory)
	}
}

// lazyMmap is a large array map as shared is, of which only those parts are mapped that
// were used lately: what is mapped counts as memory of the process, used or not, and
// would be most of it with many clients. Not safe for concurrent use.
type lazyMmap[T any] struct {
	kernel  *ebpf.Map
	memory  []byte // room for all of it
	entries uint32
	mapped  []bool // by part
	Chunks  int    // how many are
}

// How much of a table is mapped.
const (
	MmapChunk     = 64 << 10 // bytes that are mapped at a time; a multiple of every page size
	MaxMmapChunks = 24       // parts, then trim lets go of them: more than all of a table of 4096 clients
)

// openLazyMmap makes room for an array map that was made with BPF_F_MMAPABLE. The map
// has to stay open.
func openLazyMmap[T any](m *ebpf.Map) (*lazyMmap[T], error) {
	whole, err := Mmap[T](m) // for the room: as large and where the kernel would map all of it
	if err != nil {
		return nil, err
	}
	parts := (len(whole.memory) + MmapChunk - 1) / MmapChunk
	w := &lazyMmap[T]{kernel: m, memory: whole.memory, entries: m.MaxEntries(), mapped: make([]bool, parts)}
	w.unmapAll()
	return w, nil
}

// at returns an entry, to be used before the next trim.
func (w *lazyMmap[T]) at(index uint32) *T {
	size := int(unsafe.Sizeof(*new(T)))
	from := int(index) * size
	for part := from / MmapChunk; part <= (from+size-1)/MmapChunk; part++ {
		if !w.mapped[part] {
			w.mapChunk(part)
		}
	}
	return (*T)(unsafe.Pointer(&w.memory[from]))
}

func (w *lazyMmap[T]) mapChunk(part int) {
	from := part * MmapChunk
	w.remap(from, min(from+MmapChunk, len(w.memory)), w.kernel.FD(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.mapped[part] = true
	w.Chunks++
}

// unmapIdle lets go of what is mapped, when it has become much.
func (w *lazyMmap[T]) unmapIdle() {
	if w.Chunks >= MaxMmapChunks {
		w.unmapAll()
	}
}

func (w *lazyMmap[T]) unmapAll() {
	w.remap(0, len(w.memory), -1, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	clear(w.mapped)
	w.Chunks = 0
}

// remap maps something in the place of a part of the memory. Without memory for that
// the process ends, as the runtime of Go ends it; the kernel continues to enforce.
func (w *lazyMmap[T]) remap(from, upTo, fd, prot, flags int) {
	at := unsafe.Pointer(&w.memory[from])
	if _, err := unix.MmapPtr(fd, int64(from), at, uintptr(upTo-from), prot, flags|unix.MAP_FIXED); err != nil {
		panic(fmt.Errorf("mapping %d bytes of %v into memory: %w", upTo-from, w.kernel, err))
	}
}

// close unmaps it. A later use ends the process.
func (w *lazyMmap[T]) close() {
	if w != nil {
		_ = unix.Munmap(w.memory)
	}
}
