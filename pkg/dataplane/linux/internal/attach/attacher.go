// SPDX-License-Identifier: Apache-2.0

// Package attach puts the programs on the hooks of interfaces, by tcx links or by clsact
// filters, and loads and pins them.
package attach

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Attacher puts programs on the hooks of interfaces, in one of the modes. It is
// level-triggered: Ensure is called again and again and only does what is missing.
// Not safe for concurrent use.
type Attacher interface {
	Mode() dataplane.AttachMode
	// Read returns what the kernel has on a hook of the interface.
	Read(dev Device, dir int) (Hook, error)
	// Ensure makes prog the first program on a hook of the interface.
	Ensure(dev Device, dir int, prog *ebpf.Program) (Result, error)
	// Undisturbed reports whether ours alone is on both hooks of the interface, as Ensure left
	// it; false also where the kernel cannot be asked that in one call.
	Undisturbed(dev Device) bool
	// Release takes our programs off an interface that is not to be metered (any more).
	Release(dev Device) error
	// Held lists the interfaces that carry our programs or pins. The name may be a former
	// one; the index is that of now, 0 for one that is gone.
	Held() ([]Device, error)
	Close()
}

// Result is what Ensure found and did.
type Result struct {
	Did   Change
	Found []Program // what ran before ours
	Now   Hook      // as Ensure left it
}

// Change is what Ensure did.
type Change int

// What Ensure did, the later ones after more time without protection.
const (
	Unchanged Change = iota
	Replaced         // there was another program of ours, replaced without a gap
	Moved            // ours was behind another program, and is the first now
	Attached         // there was no program of ours
)

// programIDs remembers the ids of programs. They never change, and are asked for at
// every look at a hook, which is twice a second: the kernel's answer is a long one.
type programIDs map[*ebpf.Program]ebpf.ProgramID

func (p programIDs) of(prog *ebpf.Program) (ebpf.ProgramID, error) {
	if id, ok := p[prog]; ok {
		return id, nil
	}
	id, err := ProgramID(prog)
	if err != nil {
		return 0, kernel.Explain("program id", err)
	}
	p[prog] = id
	return id, nil
}

// HookNames are the ends of the pins' names, by direction.
var HookNames = [bpf.Directions]string{bpf.Upload: "ingress", bpf.Download: "egress"}

// New chooses tcx where the kernel has it, unless the options say otherwise.
func New(mode dataplane.AttachMode, p pins.Folder, s *links.NetNS) (Attacher, error) {
	census := NewCensus(p)
	tcx := NewTCX(p, s, census)
	clsact, err := NewClsact(p, s, census)
	if err != nil {
		return nil, err
	}
	has := mode != dataplane.Clsact
	if mode == dataplane.Auto {
		if has, err = HaveTCX(); err != nil {
			clsact.Close()
			return nil, err
		}
	}
	if !has {
		defer tcx.Close()
		return clsact, refuseOtherMode(tcx)
	}
	defer clsact.Close()
	return tcx, refuseOtherMode(clsact)
}

// refuseOtherMode fails where the other mode has programs of ours: with both, everything
// would be counted twice.
func refuseOtherMode(other Attacher) error {
	held, err := other.Held()
	if err != nil || len(held) == 0 {
		return err
	}
	var names []string
	for _, dev := range held {
		names = append(names, dev.Name)
	}
	return fmt.Errorf("attach: our programs are on %s by %s already; take them off first: hotspot-agent detach",
		strings.Join(slices.Compact(names), ", "), other.Mode())
}

// HaveTCX tries to attach to an interface that cannot exist: a kernel with tcx
// misses the interface, one without misses the feature.
func HaveTCX() (bool, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "probe",
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		return false, kernel.Explain("loading a program", err)
	}
	defer func() { _ = prog.Close() }()
	const noIndex = 1<<31 - 1
	l, err := link.AttachTCX(link.TCXOptions{Interface: noIndex, Program: prog, Attach: ebpf.AttachTCXIngress})
	if err == nil {
		_ = l.Close()
		return false, fmt.Errorf("probing for tcx: attached to interface %d, which cannot exist", noIndex)
	}
	return !errors.Is(err, ebpf.ErrNotSupported), nil
}
