// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// formerFolder is a folder of another agent that runs no more, or one that a former
// configuration named. Its programs are on interfaces of ours.
type formerFolder struct {
	pins.Folder
	lock *os.File // no agent can open it meanwhile
}

// findFormer finds whose programs are on the named interfaces beside ours, and fails where an
// agent keeps them there: with two of them a customer of one is cut off by the other.
func (d *Dataplane) findFormer() (former []formerFolder, err error) {
	for _, name := range d.opts.Interfaces {
		copies, err := copiesOn(d.state.currentLinks(), d.pins, d.ns, name)
		if err != nil {
			closeFormer(former)
			return nil, err
		}
		for _, p := range copies {
			root := p.Copy.Folder
			if slices.ContainsFunc(former, func(f formerFolder) bool { return f.Root == root }) {
				continue
			}
			f := formerFolder{Folder: pins.Folder{Root: root}}
			if !p.Copy.Live {
				f.lock, err = f.Lock()
			}
			if p.Copy.Live || err != nil {
				closeFormer(former)
				return nil, fmt.Errorf("interface %s: %s enforces there already (%s), and this agent has bpffs %s: stop one of them, or name different interfaces",
					name, p.Copy, p, d.pins.Root)
			}
			former = append(former, f)
		}
	}
	return former, nil
}

// copiesOn lists what is on the hooks of an interface, of either mode, and like ours.
func copiesOn(now *links.Snapshot, own pins.Folder, ns *links.NetNS, name string) (list []attach.Program, err error) {
	l := now.ByName[name]
	if l == nil {
		return nil, nil
	}
	on, err := attach.Inspect(own, ns, attach.Device{Name: name, Index: l.Attrs().Index})
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	for _, hook := range on {
		list = append(list, hook.Copies()...)
	}
	return list, err
}

// takeOver takes the programs of former folders off the named interfaces, after ours are
// attached. A folder without other interfaces is removed, and what was counted there becomes
// that of retired maps.
func (d *Dataplane) takeOver(former []formerFolder) error {
	now := d.state.currentLinks()
	named := func(dev attach.Device) bool {
		l := now.ByIndex[dev.Index]
		return l != nil && slices.Contains(d.opts.Interfaces, l.Attrs().Name)
	}
	for _, f := range former {
		left, err := attach.ReleaseFolder(f.Folder, d.ns, named)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			d.opts.Log.Warn("programs of another folder continue on other interfaces", "bpffs", f.Root, "interfaces", deviceNames(left))
			continue
		}
		if err := d.pins.RetireFrom(f.Folder); errors.Is(err, unix.EXDEV) {
			d.opts.Log.Warn("what was counted in another bpffs is lost, in the clients' favour", "bpffs", f.Root, "error", err)
		} else if err != nil {
			return err
		}
		if err := f.Remove(); err != nil {
			return err
		}
		d.opts.Log.Warn("programs of another folder were on our interfaces, and are taken over", "bpffs", f.Root)
	}
	return nil
}

func closeFormer(former []formerFolder) {
	for _, f := range former {
		_ = f.lock.Close()
	}
}

func deviceNames(devices []attach.Device) string {
	var names []string
	for _, dev := range devices {
		names = append(names, dev.Name)
	}
	return strings.Join(slices.Compact(names), ", ")
}
