// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// takeover is what of others is on our interfaces when this process starts: folders of agents
// that run no more, and those that a former configuration named.
type takeover struct {
	own     pins.Folder
	ns      *links.NetNS
	names   []string // of the interfaces
	log     *slog.Logger
	folders []heldFolder
}

// heldFolder is a folder that no agent can open meanwhile.
type heldFolder struct {
	pins.Folder
	lock *os.File
}

// find finds whose programs are on the named interfaces beside ours, and fails where an
// agent keeps them there: with two of them a customer of one is cut off by the other.
func (t *takeover) find(now *links.Snapshot) error {
	for _, name := range t.names {
		copies, err := t.copiesOn(now, name)
		if err != nil {
			return err
		}
		for _, p := range copies {
			if err := t.hold(p); err != nil {
				return fmt.Errorf("interface %s: %s enforces there already (%s), and this agent has bpffs %s: stop one of them, or name different interfaces",
					name, p.Copy, p, t.own.Root)
			}
		}
	}
	return nil
}

var errLive = errors.New("an agent has it open")

// hold takes the folder of a program.
func (t *takeover) hold(p attach.Program) error {
	f := heldFolder{Folder: pins.Folder{Root: p.Copy.Folder}}
	if slices.ContainsFunc(t.folders, func(held heldFolder) bool { return held.Root == f.Root }) {
		return nil
	}
	if p.Copy.Live {
		return errLive
	}
	var err error
	if f.lock, err = f.Lock(); err != nil {
		return err
	}
	t.folders = append(t.folders, f)
	return nil
}

// copiesOn lists what is on the hooks of an interface, of either mode, and like ours.
func (t *takeover) copiesOn(now *links.Snapshot, name string) (list []attach.Program, err error) {
	l := now.ByName[name]
	if l == nil {
		return nil, nil
	}
	on, err := attach.Inspect(t.own, t.ns, attach.Device{Name: name, Index: l.Attrs().Index})
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	for _, hook := range on {
		list = append(list, hook.Copies()...)
	}
	return list, err
}

// finish takes the programs of the folders off the named interfaces, after ours are
// attached. A folder without other interfaces is removed, and what was counted there becomes
// that of retired maps.
func (t *takeover) finish(now *links.Snapshot) error {
	for _, f := range t.folders {
		left, err := attach.ReleaseFolder(f.Folder, t.ns, func(dev attach.Device) bool {
			l := now.ByIndex[dev.Index]
			return l != nil && slices.Contains(t.names, l.Attrs().Name)
		})
		if err != nil {
			return err
		}
		if len(left) > 0 {
			t.log.Warn("programs of another folder continue on other interfaces", "bpffs", f.Root, "interfaces", deviceNames(left))
			continue
		}
		if err := t.own.RetireFrom(f.Folder); errors.Is(err, unix.EXDEV) {
			t.log.Warn("what was counted in another bpffs is lost, in the clients' favour", "bpffs", f.Root, "error", err)
		} else if err != nil {
			return err
		}
		if err := f.Remove(); err != nil {
			return err
		}
		t.log.Warn("programs of another folder were on our interfaces, and are taken over", "bpffs", f.Root)
	}
	return nil
}

// close lets agents open the folders that are left.
func (t *takeover) close() {
	for _, f := range t.folders {
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
