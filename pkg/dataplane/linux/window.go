// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// window is a large array map as shared is, of which only those parts are mapped that
// were used lately: what is mapped counts as memory of the process, used or not, and
// would be most of it with many clients. Not safe for concurrent use.
type lazyMmap[T any] struct {
	kernel  *ebpf.Map
	memory  []byte // room for all of it
	entries uint32
	mapped  []bool // by part
	chunks  int    // how many are
}

const (
	mmapChunk     = 64 << 10 // bytes that are mapped at a time; a multiple of every page size
	maxMmapChunks = 24       // parts, then trim lets go of them: more than all of a table of 4096 clients
)

// openLazyMmap makes room for an array map that was made with BPF_F_MMAPABLE. The map
// has to stay open.
func openLazyMmap[T any](m *ebpf.Map) (*lazyMmap[T], error) {
	whole, err := mmap[T](m) // for the room: as large and where the kernel would map all of it
	if err != nil {
		return nil, err
	}
	parts := (len(whole.memory) + mmapChunk - 1) / mmapChunk
	w := &lazyMmap[T]{kernel: m, memory: whole.memory, entries: m.MaxEntries(), mapped: make([]bool, parts)}
	w.unmapAll()
	return w, nil
}

// at returns an entry, to be used before the next trim.
func (w *lazyMmap[T]) at(index uint32) *T {
	size := int(unsafe.Sizeof(*new(T)))
	from := int(index) * size
	for part := from / mmapChunk; part <= (from+size-1)/mmapChunk; part++ {
		if !w.mapped[part] {
			w.mapChunk(part)
		}
	}
	return (*T)(unsafe.Pointer(&w.memory[from]))
}

func (w *lazyMmap[T]) mapChunk(part int) {
	from := part * mmapChunk
	w.remap(from, min(from+mmapChunk, len(w.memory)), w.kernel.FD(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.mapped[part] = true
	w.chunks++
}

// trim lets go of what is mapped, when it has become much.
func (w *lazyMmap[T]) unmapIdle() {
	if w.chunks >= maxMmapChunks {
		w.unmapAll()
	}
}

func (w *lazyMmap[T]) unmapAll() {
	w.remap(0, len(w.memory), -1, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	clear(w.mapped)
	w.chunks = 0
}

// place maps something in the place of a part of the memory. Without memory for that
// the process ends, as the runtime of Go ends it; the kernel goes on enforcing.
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
