// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Our filters are those with this handle and name; priority 1 unless another
// program holds it with a filter of another kind.
const (
	filterHandle = 0x6873 // "hs"
	filterPrefix = "hotspot-agent:"
	ClsactKind   = "clsact"
)

// ClsactParents are the parents of the filters, by direction (tc-bpf(8)).
var ClsactParents = [bpf.Directions]uint32{bpf.Upload: netlink.HANDLE_MIN_INGRESS, bpf.Download: netlink.HANDLE_MIN_EGRESS}

// Clsact attaches by direct-action filters on the clsact qdisc.
type Clsact struct {
	pins pins.Folder
	nl   *netlink.Handle
	ids  programIDs
}

// NewClsact opens a netlink socket in the namespace of s.
func NewClsact(p pins.Folder, s *links.NetNS) (*Clsact, error) {
	h, err := s.Handle()
	if err != nil {
		return nil, kernel.Explain("netlink", err)
	}
	return &Clsact{pins: p, nl: h, ids: make(programIDs)}, nil
}

// Mode returns dataplane.Clsact.
func (*Clsact) Mode() dataplane.AttachMode { return dataplane.Clsact }

// Close closes the netlink socket. What is attached stays.
func (c *Clsact) Close() { c.nl.Close() }

// Ensure is that of Attacher.
func (c *Clsact) Ensure(dev Device, dir int, prog *ebpf.Program) (Change, error) {
	id, err := c.ids.of(prog)
	if err != nil {
		return Unchanged, err
	}
	filters, err := c.Filters(dev.Index, dir)
	if err != nil {
		return Unchanged, err
	}
	ours := OwnFilter(filters)
	if ours != nil && ebpf.ProgramID(ours.Id) == id {
		return Unchanged, nil
	}
	if ours == nil {
		if err := c.ensureQdisc(dev); err != nil {
			return Unchanged, err
		}
	}
	if err := c.nl.FilterReplace(newFilter(dev, dir, prog, filters)); err != nil {
		return Unchanged, kernel.Explain(fmt.Sprintf("attaching to %s %s", dev.Name, HookNames[dir]), err)
	}
	if ours != nil {
		return Replaced, nil
	}
	return Attached, nil
}

func newFilter(dev Device, dir int, prog *ebpf.Program, present []netlink.Filter) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: dev.Index,
			Parent:    ClsactParents[dir],
			Handle:    filterHandle,
			Priority:  filterPriority(present),
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         filterPrefix + bpf.ProgramNames[dir],
		DirectAction: true,
	}
}

// filterPriority is the one our filter has, or the first that a BPF filter can
// still be given: the kernel keeps one kind of filter a priority.
func filterPriority(present []netlink.Filter) uint16 {
	if ours := OwnFilter(present); ours != nil {
		return ours.Priority
	}
	taken := make(map[uint16]bool)
	for _, f := range present {
		if f.Type() != "bpf" || f.Attrs().Protocol != unix.ETH_P_ALL {
			taken[f.Attrs().Priority] = true
		}
	}
	prio := uint16(1)
	for taken[prio] {
		prio++
	}
	return prio
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

// OwnFilter returns the one that the agent added, or nil.
func OwnFilter(filters []netlink.Filter) *netlink.BpfFilter {
	for _, f := range filters {
		bpf, ok := f.(*netlink.BpfFilter)
		if ok && bpf.Handle == filterHandle && strings.HasPrefix(bpf.Name, filterPrefix) {
			return bpf
		}
	}
	return nil
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

// Release is that of Attacher.
func (c *Clsact) Release(ifname string) error {
	l, err := c.nl.LinkByName(ifname)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return kernel.Explain("interface "+ifname, err)
	}
	dev := Device{Name: ifname, Index: l.Attrs().Index}
	for dir := range bpf.Directions {
		if err := c.removeFilter(dev, dir); err != nil {
			return err
		}
	}
	return c.removeQdisc(dev)
}

func (c *Clsact) removeFilter(dev Device, dir int) error {
	filters, err := c.Filters(dev.Index, dir)
	if err != nil {
		return err
	}
	ours := OwnFilter(filters)
	if ours == nil {
		return nil
	}
	if err := c.nl.FilterDel(ours); err != nil && !errors.Is(err, unix.ENOENT) {
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

// Interfaces is that of Attacher.
func (c *Clsact) Interfaces() ([]string, error) {
	var all []netlink.Link
	err := links.Dump(func() (err error) {
		all, err = c.nl.LinkList()
		return err
	})
	if err != nil {
		return nil, kernel.Explain("listing interfaces", err)
	}
	var list []string
	for _, l := range all {
		for dir := range bpf.Directions {
			filters, err := c.Filters(l.Attrs().Index, dir)
			if err != nil {
				return nil, err
			}
			if OwnFilter(filters) != nil {
				list = append(list, l.Attrs().Name)
				break
			}
		}
	}
	return list, nil
}
