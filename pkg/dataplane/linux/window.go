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
type window[T any] struct {
	kernel  *ebpf.Map
	memory  []byte // room for all of it
	entries uint32
	mapped  []bool // by part
	parts   int    // how many are
}

const (
	windowPart = 64 << 10 // bytes that are mapped at a time; a multiple of every page size
	windowMost = 24       // parts, then trim lets go of them: more than all of a table of 4096 clients
)

// openWindow makes room for an array map that was made with BPF_F_MMAPABLE. The map
// has to stay open.
func openWindow[T any](m *ebpf.Map) (*window[T], error) {
	whole, err := share[T](m) // for the room: as large and where the kernel would map all of it
	if err != nil {
		return nil, err
	}
	parts := (len(whole.memory) + windowPart - 1) / windowPart
	w := &window[T]{kernel: m, memory: whole.memory, entries: m.MaxEntries(), mapped: make([]bool, parts)}
	w.empty()
	return w, nil
}

// at returns an entry, to be used before the next trim.
func (w *window[T]) at(index uint32) *T {
	size := int(unsafe.Sizeof(*new(T)))
	from := int(index) * size
	for part := from / windowPart; part <= (from+size-1)/windowPart; part++ {
		if !w.mapped[part] {
			w.open(part)
		}
	}
	return (*T)(unsafe.Pointer(&w.memory[from]))
}

func (w *window[T]) open(part int) {
	from := part * windowPart
	w.place(from, min(from+windowPart, len(w.memory)), w.kernel.FD(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.mapped[part] = true
	w.parts++
}

// trim lets go of what is mapped, when it has become much.
func (w *window[T]) trim() {
	if w.parts >= windowMost {
		w.empty()
	}
}

func (w *window[T]) empty() {
	w.place(0, len(w.memory), -1, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	clear(w.mapped)
	w.parts = 0
}

// place maps something in the place of a part of the memory. Without memory for that
// the process ends, as the runtime of Go ends it; the kernel goes on enforcing.
func (w *window[T]) place(from, upTo, fd, prot, flags int) {
	at := unsafe.Pointer(&w.memory[from])
	if _, err := unix.MmapPtr(fd, int64(from), at, uintptr(upTo-from), prot, flags|unix.MAP_FIXED); err != nil {
		panic(fmt.Errorf("mapping %d bytes of %v into memory: %w", upTo-from, w.kernel, err))
	}
}

// close unmaps it. A later use ends the process.
func (w *window[T]) close() {
	if w != nil {
		_ = unix.Munmap(w.memory)
	}
}
