// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// alone is the one program on a hook; zero: there is none, or another number.
type alone struct {
	program ebpf.ProgramID
	link    link.ID
}

// query asks what is on a tcx hook in one call and without memory of its own, as is done
// twice a second. link.QueryPrograms takes two calls. The revision of a hook alone does not
// say that it has the same programs: it begins anew when the last program went. To be
// allocated on the heap: the kernel gets addresses within it.
type query struct {
	programs, links [2]uint32
	attr            struct { // of BPF_PROG_QUERY, union bpf_attr in linux/bpf.h
		ifindex, attachType, queryFlags, attachFlags uint32
		programs                                     uint64
		count, _                                     uint32
		programFlags, links, linkFlags, revision     uint64
	}
}

// on asks for a hook of a device, by its index, of this thread's namespace.
func (q *query) on(index int, hook ebpf.AttachType) alone {
	q.attr.ifindex, q.attr.attachType = uint32(index), uint32(hook)
	q.attr.queryFlags, q.attr.attachFlags, q.attr.revision = 0, 0, 0
	q.attr.count = uint32(len(q.programs))
	q.attr.programs, q.attr.links = address(&q.programs), address(&q.links)
	_, _, err := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&q.attr)), unsafe.Sizeof(q.attr))
	if err != 0 || q.attr.count != 1 {
		return alone{}
	}
	return alone{ebpf.ProgramID(q.programs[0]), link.ID(q.links[0])}
}

func address(of *[2]uint32) uint64 { return uint64(uintptr(unsafe.Pointer(of))) }
