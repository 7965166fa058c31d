// SPDX-License-Identifier: Apache-2.0

package linux

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
)

// Our filters are those with this handle and name; priority 1 unless another
// program holds it with a filter of another kind.
const (
	filterHandle = 0x6873 // "hs"
	filterPrefix = "hotspot-agent:"
	clsactKind   = "clsact"
)

var clsactParents = [directions]uint32{upload: netlink.HANDLE_MIN_INGRESS, download: netlink.HANDLE_MIN_EGRESS}

// clsactAttacher attaches by direct-action filters on the clsact qdisc.
type clsactAttacher struct {
	pins pins
	nl   *netlink.Handle
	ids  programIDs
}

func newClsactAttacher(p pins, s *netNS) (*clsactAttacher, error) {
	h, err := s.handle()
	if err != nil {
		return nil, explain("netlink", err)
	}
	return &clsactAttacher{pins: p, nl: h, ids: make(programIDs)}, nil
}

func (*clsactAttacher) mode() dataplane.AttachMode { return dataplane.Clsact }

func (c *clsactAttacher) close() { c.nl.Close() }

func (c *clsactAttacher) ensure(dev device, dir int, prog *ebpf.Program) (change, error) {
	id, err := c.ids.of(prog)
	if err != nil {
		return unchanged, err
	}
	filters, err := c.filters(dev.index, dir)
	if err != nil {
		return unchanged, err
	}
	ours := ownFilter(filters)
	if ours != nil && ebpf.ProgramID(ours.Id) == id {
		return unchanged, nil
	}
	if ours == nil {
		if err := c.ensureQdisc(dev); err != nil {
			return unchanged, err
		}
	}
	if err := c.nl.FilterReplace(newFilter(dev, dir, prog, filters)); err != nil {
		return unchanged, explain(fmt.Sprintf("attaching to %s %s", dev.name, hookNames[dir]), err)
	}
	if ours != nil {
		return replaced, nil
	}
	return attached, nil
}

func newFilter(dev device, dir int, prog *ebpf.Program, present []netlink.Filter) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: dev.index,
			Parent:    clsactParents[dir],
			Handle:    filterHandle,
			Priority:  filterPriority(present),
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         filterPrefix + programNames[dir],
		DirectAction: true,
	}
}

// filterPriority is the one our filter has, or the first that a BPF filter can
// still be given: the kernel keeps one kind of filter a priority.
func filterPriority(present []netlink.Filter) uint16 {
	if ours := ownFilter(present); ours != nil {
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

// filters lists what is on a hook; without a clsact qdisc that is nothing.
func (c *clsactAttacher) filters(index, dir int) ([]netlink.Filter, error) {
	dev := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	var list []netlink.Filter
	err := dump(func() (err error) {
		list, err = c.nl.FilterList(dev, clsactParents[dir])
		return err
	})
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return nil, explain("listing filters", err)
	}
	return list, nil
}

func ownFilter(filters []netlink.Filter) *netlink.BpfFilter {
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
func (c *clsactAttacher) ensureQdisc(dev device) error {
	kind, err := c.ingressQdisc(dev.index)
	switch {
	case err != nil:
		return err
	case kind == clsactKind:
		return nil
	case kind != "":
		return fmt.Errorf("%s has a qdisc of kind %q where clsact belongs, made by another program: remove that one, or run a kernel >= 6.6",
			dev.name, kind)
	}
	if err := os.MkdirAll(c.marker(dev), 0o700); err != nil {
		return explain("bpffs", err)
	}
	if err := c.nl.QdiscAdd(clsactQdisc(dev.index)); err != nil {
		_ = os.Remove(c.marker(dev))
		return explain("adding the clsact qdisc to "+dev.name, err)
	}
	return nil
}

func (c *clsactAttacher) ingressQdisc(index int) (kind string, err error) {
	var list []netlink.Qdisc
	err = dump(func() (err error) {
		list, err = c.nl.QdiscList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}})
		return err
	})
	if err != nil {
		return "", explain("listing qdiscs", err)
	}
	for _, q := range list {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT {
			return q.Type(), nil
		}
	}
	return "", nil
}

func clsactQdisc(index int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: clsactKind,
	}
}

// marker is a folder on the bpffs, which holds nothing else. The index in its
// name keeps it from meaning a later interface of the same name.
func (c *clsactAttacher) marker(dev device) string {
	return filepath.Join(c.pins.clsact(), fmt.Sprintf("%s-%d", pinName(dev.name), dev.index))
}

func (c *clsactAttacher) release(ifname string) error {
	l, err := c.nl.LinkByName(ifname)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return explain("interface "+ifname, err)
	}
	dev := device{name: ifname, index: l.Attrs().Index}
	for dir := range directions {
		if err := c.removeFilter(dev, dir); err != nil {
			return err
		}
	}
	return c.removeQdisc(dev)
}

func (c *clsactAttacher) removeFilter(dev device, dir int) error {
	filters, err := c.filters(dev.index, dir)
	if err != nil {
		return err
	}
	ours := ownFilter(filters)
	if ours == nil {
		return nil
	}
	if err := c.nl.FilterDel(ours); err != nil && !errors.Is(err, unix.ENOENT) {
		return explain("removing our filter from "+dev.name, err)
	}
	return nil
}

// removeQdisc removes the qdisc when we made it and nobody else uses it.
func (c *clsactAttacher) removeQdisc(dev device) error {
	if _, err := os.Stat(c.marker(dev)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for dir := range directions {
		filters, err := c.filters(dev.index, dir)
		if err != nil {
			return err
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if kind, err := c.ingressQdisc(dev.index); kind == clsactKind && err == nil {
		if err := c.nl.QdiscDel(clsactQdisc(dev.index)); err != nil {
			return explain("removing the clsact qdisc of "+dev.name, err)
		}
	}
	return removeAll(c.marker(dev))
}

func (c *clsactAttacher) interfaces() ([]string, error) {
	var links []netlink.Link
	err := dump(func() (err error) {
		links, err = c.nl.LinkList()
		return err
	})
	if err != nil {
		return nil, explain("listing interfaces", err)
	}
	var list []string
	for _, l := range links {
		for dir := range directions {
			filters, err := c.filters(l.Attrs().Index, dir)
			if err != nil {
				return nil, err
			}
			if ownFilter(filters) != nil {
				list = append(list, l.Attrs().Name)
				break
			}
		}
	}
	return list, nil
}
