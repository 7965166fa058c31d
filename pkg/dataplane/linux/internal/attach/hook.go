// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// tcActShot is TC_ACT_SHOT (linux/pkt_cls.h).
const tcActShot = 2

// Device is an interface as found now.
type Device struct {
	Name  string
	Index int
}

// Hook is what the kernel has on one hook of a device, in the order in which it runs. No pin
// and no memory of this process is asked: a link may be pinned and hang on another device.
type Hook []Program

// Program is a program, or a filter of another kind, on a hook.
type Program struct {
	ID     ebpf.ProgramID // 0: a filter that is no program
	Name   string         // "" where the kernel does not say it
	Own    bool           // ours, by a link or filter of our folder
	Copy   *Copy          // of another folder whose program it is, or nil
	link   link.ID        // 0: not by a tcx link
	filter netlink.Filter // nil: not by a filter
}

// String names a program for people.
func (p Program) String() string {
	switch name := p.Name; {
	case p.filter != nil && p.ID == 0:
		return fmt.Sprintf("filter %q of priority %d", p.filter.Type(), p.filter.Attrs().Priority)
	case name == "":
		return fmt.Sprintf("program %d", p.ID)
	default:
		return fmt.Sprintf("program %d %q", p.ID, name)
	}
}

// own are our programs on the hook. There are several only when a process died while it
// moved to the head.
func (h Hook) own() []Program {
	var list []Program
	for _, p := range h {
		if p.Own {
			list = append(list, p)
		}
	}
	return list
}

// Own returns our program, the first of several.
func (h Hook) Own() (Program, bool) {
	if at := slices.IndexFunc(h, func(p Program) bool { return p.Own }); at >= 0 {
		return h[at], true
	}
	return Program{}, false
}

// Before returns what runs before ours: nothing when ours is not there.
func (h Hook) Before() []Program {
	return h[:max(0, slices.IndexFunc(h, func(p Program) bool { return p.Own }))]
}

// Copies returns programs like ours that are another folder's.
func (h Hook) Copies() []Program {
	var list []Program
	for _, p := range h {
		if p.Copy != nil {
			list = append(list, p)
		}
	}
	return list
}

// Hooks are those of an interface, by direction.
type Hooks [bpf.Directions]Hook

// names lists programs with their hooks.
func (h *Hooks) names(of func(Hook) []Program) string {
	var list []string
	for dir, hook := range h {
		for _, p := range of(hook) {
			list = append(list, fmt.Sprintf("%s on %s", p, HookNames[dir]))
		}
	}
	return strings.Join(list, ", ")
}

// InFront says which programs decide before ours; "" when none does.
func (h *Hooks) InFront() string {
	names := h.names(Hook.Before)
	if names == "" {
		return ""
	}
	return names + " runs before ours: what it accepts is neither counted nor stopped; " +
		"have it return TCX_NEXT (TC_ACT_UNSPEC), or attach it after ours (see `bpftool net`)"
}

// ForeignCopies are the problems of programs like ours that are another folder's.
func (h *Hooks) ForeignCopies(ifname string) []dataplane.Problem {
	var problems []dataplane.Problem
	for dir, hook := range h {
		for _, p := range hook.Copies() {
			advice := "stop one of the agents, then: hotspot-agent detach"
			if p.Copy.Folder != "" {
				advice += " --bpffs " + p.Copy.Folder
			}
			problems = append(problems, dataplane.Problem{
				Code: dataplane.ForeignCopy, Interface: ifname, Subject: HookNames[dir],
				Detail: fmt.Sprintf("interface %s: %s on %s is of %s: customers of one agent are cut off by the other; %s",
					ifname, p, HookNames[dir], p.Copy, advice),
				Exposed: true,
			})
		}
	}
	return problems
}

// Inspect reads the hooks of an interface, whichever mode holds ours.
func Inspect(p pins.Folder, s *links.NetNS, dev Device) (on Hooks, err error) {
	census := NewCensus(p)
	tcx := NewTCX(p, s, census)
	defer tcx.Close()
	clsact, err := NewClsact(p, s, census)
	if err != nil {
		return on, err
	}
	defer clsact.Close()
	for dir := range on {
		if on[dir], err = tcx.Read(dev, dir); err != nil {
			return on, err
		}
		filters, err := clsact.readFilters(dev, dir)
		if err != nil {
			return on, err
		}
		on[dir] = append(on[dir], filters...)
	}
	return on, nil
}

// queryTCX lists a tcx hook of a device of the namespace. A kernel without tcx has an empty
// one.
func queryTCX(ns *links.NetNS, dev Device, dir int) ([]link.AttachedProgram, error) {
	var on *link.QueryResult
	err := ns.Run(func() (err error) {
		on, err = link.QueryPrograms(link.QueryOptions{Target: dev.Index, Attach: TCXAttachTypes[dir]})
		return err
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, ebpf.ErrNotSupported) {
		return nil, nil
	}
	if err != nil {
		return nil, kernel.Explain(fmt.Sprintf("reading what is on %s %s", dev.Name, HookNames[dir]), err)
	}
	return on.Programs, nil
}

// newGate loads a program that drops everything. It holds the first place of a hook while
// our program is taken from a later one: a program cannot be on a hook twice, and with two
// of ours everything would be counted twice.
func newGate() (*ebpf.Program, error) {
	gate, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "hotspot_gate",
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcActShot), asm.Return()},
	})
	if err != nil {
		return nil, kernel.Explain("loading a program that drops", err)
	}
	return gate, nil
}

// sortDevices orders by name, and drops what is there twice.
func sortDevices(list []Device) []Device {
	slices.SortFunc(list, func(a, b Device) int { return cmp.Or(strings.Compare(a.Name, b.Name), a.Index-b.Index) })
	return slices.Compact(list)
}
