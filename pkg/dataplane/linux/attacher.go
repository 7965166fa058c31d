// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// attacher puts programs on the hooks of interfaces, in one of the modes. It is
// level-triggered: ensure is called again and again and only does what is missing.
// Not safe for concurrent use.
type attacher interface {
	mode() dataplane.AttachMode
	// ensure makes prog the program on a hook of the interface and says what it did.
	ensure(dev device, dir int, prog *ebpf.Program) (change, error)
	// release takes our programs off an interface that is not to be metered (any more).
	release(ifname string) error
	// held lists the interfaces that carry our programs or pins.
	interfaces() ([]string, error)
	close()
}

// device is an interface as found now.
type device struct {
	name  string
	index int
}

// change is what ensure did.
type change int

const (
	unchanged change = iota
	attached         // there was no program of ours
	replaced         // there was another one of ours, replaced without a gap
)

// programIDs remembers the ids of programs. They never change, and are asked for at
// every look at a hook, which is twice a second: the kernel's answer is a long one.
type programIDs map[*ebpf.Program]ebpf.ProgramID

func (p programIDs) of(prog *ebpf.Program) (ebpf.ProgramID, error) {
	if id, ok := p[prog]; ok {
		return id, nil
	}
	id, err := programID(prog)
	if err != nil {
		return 0, explain("program id", err)
	}
	p[prog] = id
	return id, nil
}

var hookNames = [directions]string{upload: "ingress", download: "egress"}

// newAttacher chooses tcx where the kernel has it, unless the options say otherwise.
func newAttacher(opts Options, p pins, s *netNS) (attacher, error) {
	tcx := newTCXAttacher(p, s)
	clsact, err := newClsactAttacher(p, s)
	if err != nil {
		return nil, err
	}
	has := opts.Attach != dataplane.Clsact
	if opts.Attach == dataplane.Auto {
		if has, err = haveTCX(); err != nil {
			clsact.close()
			return nil, err
		}
	}
	if !has {
		return clsact, refuseOtherMode(tcx)
	}
	defer clsact.close()
	return tcx, refuseOtherMode(clsact)
}

// refuseOtherMode fails where the other mode has programs of ours: with both, everything
// would be counted twice.
func refuseOtherMode(other attacher) error {
	held, err := other.interfaces()
	if err != nil || len(held) == 0 {
		return err
	}
	return fmt.Errorf("attach: our programs are on %s by %s already; take them off first: hotspot-agent detach",
		strings.Join(slices.Compact(held), ", "), other.mode())
}

// haveTCX tries to attach to an interface that cannot exist: a kernel with tcx
// misses the interface, one without misses the feature.
func haveTCX() (bool, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "probe",
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		return false, explain("loading a program", err)
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
