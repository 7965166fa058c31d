// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Our filters are those with this name and one of two handles: one is in use, and the
// other one's filter takes its place when ours moves to the head. The priority is 1 unless
// another program holds it with a filter of another kind.
const (
	filterPrefix = "hotspot-agent:"
	ClsactKind   = "clsact"
)

var filterHandles = [2]uint32{0x6873, 0x6874} // "hs", "ht"

// ClsactParents are the parents of the filters, by direction (tc-bpf(8)).
var ClsactParents = [bpf.Directions]uint32{bpf.Upload: netlink.HANDLE_MIN_INGRESS, bpf.Download: netlink.HANDLE_MIN_EGRESS}

// Clsact attaches by direct-action filters on the clsact qdisc.
type Clsact struct {
	pins     pins.Folder
	ns       *links.NetNS
	nl       *netlink.Handle
	census   *Census
	ids      programIDs
	ours     map[ebpf.ProgramID]bool // pinned in our folder, or attached by this process
	contests contests
}

// NewClsact opens a netlink socket in the namespace of s.
func NewClsact(p pins.Folder, s *links.NetNS, c *Census) (*Clsact, error) {
	h, err := s.Handle()
	if err != nil {
		return nil, kernel.Explain("netlink", err)
	}
	ours := make(map[ebpf.ProgramID]bool)
	for _, id := range programsOf(p) {
		ours[id] = true
	}
	return &Clsact{pins: p, ns: s, nl: h, census: c, ids: make(programIDs), ours: ours, contests: make(contests)}, nil
}

// Mode returns dataplane.Clsact.
func (*Clsact) Mode() dataplane.AttachMode { return dataplane.Clsact }

// Close closes the netlink socket. What is attached stays.
func (c *Clsact) Close() { c.nl.Close() }

// Read is that of Attacher. Programs of tcx run before all filters.
func (c *Clsact) Read(dev Device, dir int) (Hook, error) {
	on, err := queryTCX(c.ns, dev, dir)
	if err != nil {
		return nil, err
	}
	filters, err := c.readFilters(dev, dir)
	if err != nil {
		return nil, err
	}
	hook := make(Hook, len(on), len(on)+len(filters))
	for i, p := range on {
		hook[i] = Program{ID: p.ID}
		c.census.identify(&hook[i])
	}
	return append(hook, filters...), nil
}

func (c *Clsact) readFilters(dev Device, dir int) (Hook, error) {
	filters, err := c.Filters(dev.Index, dir)
	if err != nil {
		return nil, err
	}
	var hook Hook
	for _, f := range filters {
		if chain := f.Attrs().Chain; chain == nil || *chain == 0 { // others run only when a filter of this one says so
			hook = append(hook, c.program(f))
		}
	}
	return hook, nil
}

// program describes a filter. One with our name is ours unless the program is another
// folder's: also when our pins were removed.
func (c *Clsact) program(f netlink.Filter) Program {
	p := Program{filter: f}
	b, ok := f.(*netlink.BpfFilter)
	if !ok {
		return p
	}
	p.ID, p.Name = ebpf.ProgramID(b.Id), b.Name
	if p.Own = named(b) && c.ours[p.ID]; p.Own {
		return p
	}
	c.census.identify(&p)
	if p.Own = named(b) && (p.Copy == nil || p.Copy.Folder == ""); p.Own {
		p.Copy = nil
	}
	return p
}

func named(f *netlink.BpfFilter) bool {
	return slices.Contains(filterHandles[:], f.Handle) && strings.HasPrefix(f.Name, filterPrefix)
}

// Ensure is that of Attacher.
func (c *Clsact) Ensure(dev Device, dir int, prog *ebpf.Program) (Result, error) {
	want, err := c.ids.of(prog)
	if err != nil {
		return Result{}, err
	}
	hook, err := c.Read(dev, dir)
	if err != nil {
		return Result{}, err
	}
	c.ours[want] = true
	r := Result{Found: hook.Before(), Now: hook}
	if err := c.toHead(dev, dir, prog, &r); err != nil {
		return r, err
	}
	own := r.Now.own()
	if len(own) == 0 {
		return r, fmt.Errorf("attaching to %s %s: another program took ours off", dev.Name, HookNames[dir])
	}
	for _, p := range own[1:] {
		if err := c.remove(dev, p.filter); err != nil {
			return r, err
		}
	}
	if own[0].ID != want {
		at := own[0].filter.Attrs()
		if err := c.replace(dev, dir, prog, filterPlace{at.Handle, at.Priority}); err != nil {
			return r, err
		}
		r.Did = max(r.Did, Replaced)
	}
	if len(own) > 1 || own[0].ID != want {
		r.Now, err = c.Read(dev, dir)
	}
	return r, err
}

// toHead puts a filter before all others, as that of TCX does. The kernel runs filters by
// priority, and those of one priority from the newest to the oldest.
func (c *Clsact) toHead(dev Device, dir int, prog *ebpf.Program, r *Result) (err error) {
	first, there := r.Now.Own()
	place := filterPlace{filterHandles[0], freePriority(r.Now)}
	switch {
	case !there && len(r.Now.Copies()) > 0 && !c.contests.allow(dev, dir):
		return fmt.Errorf("attaching to %s %s: %s puts its own program there again and again", dev.Name, HookNames[dir], r.Now.Copies()[0].Copy)
	case !there:
		if err := c.ensureQdisc(dev); err != nil {
			return err
		}
		r.Did = Attached
	case !overtakes(r.Found, place.priority) || !c.contests.allow(dev, dir):
		return nil
	default:
		if prog, err = newGate(); err != nil {
			return err
		}
		defer func() { _ = prog.Close() }()
		if first.filter.Attrs().Handle == place.handle {
			place.handle = filterHandles[1]
		}
		r.Did = Moved
	}
	if err := c.replace(dev, dir, prog, place); err != nil {
		r.Did = Unchanged
		return err
	}
	r.Now, err = c.Read(dev, dir)
	return err
}

// overtakes reports whether a new filter of a priority runs before one of those.
func overtakes(before []Program, priority uint16) bool {
	return slices.ContainsFunc(before, func(p Program) bool { return p.filter != nil && p.filter.Attrs().Priority >= priority })
}

// freePriority is the first that a BPF filter can be given: the kernel keeps one kind of
// filter a priority.
func freePriority(present Hook) uint16 {
	taken := make(map[uint16]bool)
	for _, p := range present {
		if p.filter != nil && (p.filter.Type() != "bpf" || p.filter.Attrs().Protocol != unix.ETH_P_ALL) {
			taken[p.filter.Attrs().Priority] = true
		}
	}
	priority := uint16(1)
	for taken[priority] {
		priority++
	}
	return priority
}

// filterPlace is where a filter of ours is.
type filterPlace struct {
	handle   uint32
	priority uint16
}

// replace makes prog the program of a place, where there may be one.
func (c *Clsact) replace(dev Device, dir int, prog *ebpf.Program, at filterPlace) error {
	id, err := ProgramID(prog)
	if err != nil {
		return kernel.Explain("program id", err)
	}
	err = c.nl.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: dev.Index,
			Parent:    ClsactParents[dir],
			Handle:    at.handle,
			Priority:  at.priority,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         filterPrefix + bpf.ProgramNames[dir],
		DirectAction: true,
	})
	if err != nil {
		return kernel.Explain(fmt.Sprintf("attaching to %s %s", dev.Name, HookNames[dir]), err)
	}
	c.ours[id] = true
	return nil
}

// Filters lists what is on a hook; without a clsact qdisc that is nothing.
func (c *Clsact) Filters(index, dir int) ([]netlink.Filter, error) {
	dev := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	var list []netlink.Filter
	err := links.Dump(func() (err error) {
		list, err = c.nl.FilterList(dev, ClsactParents[dir])
		return err
	})
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return nil, kernel.Explain("listing filters", err)
	}
	return list, nil
}

// ensureQdisc makes the clsact qdisc when the interface has none, and remembers
// that it was us.
func (c *Clsact) ensureQdisc(dev Device) error {
	kind, err := c.ingressQdisc(dev.Index)
	switch {
	case err != nil:
		return err
	case kind == ClsactKind:
		return nil
	case kind != "":
		return fmt.Errorf("%s has a qdisc of kind %q where clsact belongs, made by another program: remove that one, or run a kernel >= 6.6",
			dev.Name, kind)
	}
	if err := os.MkdirAll(c.marker(dev), 0o700); err != nil {
		return kernel.Explain("bpffs", err)
	}
	if err := c.nl.QdiscAdd(ClsactQdisc(dev.Index)); err != nil {
		_ = os.Remove(c.marker(dev))
		return kernel.Explain("adding the clsact qdisc to "+dev.Name, err)
	}
	return nil
}

func (c *Clsact) ingressQdisc(index int) (kind string, err error) {
	var list []netlink.Qdisc
	err = links.Dump(func() (err error) {
		list, err = c.nl.QdiscList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}})
		return err
	})
	if err != nil {
		return "", kernel.Explain("listing qdiscs", err)
	}
	for _, q := range list {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT {
			return q.Type(), nil
		}
	}
	return "", nil
}

// ClsactQdisc is the qdisc that the filters need on an interface.
func ClsactQdisc(index int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: ClsactKind,
	}
}

// marker is a folder on the bpffs, which holds nothing else. The index in its
// name keeps it from meaning a later interface of the same name.
func (c *Clsact) marker(dev Device) string {
	return filepath.Join(c.pins.Clsact(), fmt.Sprintf("%s-%d", pins.PinName(dev.Name), dev.Index))
}

// Undisturbed is that of Attacher. Filters can only be listed, which is what Ensure does.
func (*Clsact) Undisturbed(Device) bool { return false }

// Release is that of Attacher.
func (c *Clsact) Release(dev Device) error {
	for dir := range bpf.Directions {
		hook, err := c.Read(dev, dir)
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range hook.own() {
			if err := c.remove(dev, p.filter); err != nil {
				return err
			}
		}
	}
	return c.removeQdisc(dev)
}

func (c *Clsact) remove(dev Device, f netlink.Filter) error {
	if err := c.nl.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
		return kernel.Explain("removing our filter from "+dev.Name, err)
	}
	return nil
}

// removeQdisc removes the qdisc when we made it and no other program uses it.
func (c *Clsact) removeQdisc(dev Device) error {
	if _, err := os.Stat(c.marker(dev)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for dir := range bpf.Directions {
		filters, err := c.Filters(dev.Index, dir)
		if err != nil {
			return err
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if kind, err := c.ingressQdisc(dev.Index); kind == ClsactKind && err == nil {
		if err := c.nl.QdiscDel(ClsactQdisc(dev.Index)); err != nil {
			return kernel.Explain("removing the clsact qdisc of "+dev.Name, err)
		}
	}
	return pins.RemoveAll(c.marker(dev))
}

// Held is that of Attacher.
func (c *Clsact) Held() ([]Device, error) {
	var all []netlink.Link
	err := links.Dump(func() (err error) {
		all, err = c.nl.LinkList()
		return err
	})
	if err != nil {
		return nil, kernel.Explain("listing interfaces", err)
	}
	var list []Device
	for _, l := range all {
		dev := Device{Name: l.Attrs().Name, Index: l.Attrs().Index}
		for dir := range bpf.Directions {
			filters, err := c.Filters(dev.Index, dir)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(filters, func(f netlink.Filter) bool { return c.program(f).Own }) {
				list = append(list, dev)
				break
			}
		}
	}
	return list, nil
}
