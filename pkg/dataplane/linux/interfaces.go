// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// attachment is an interface, with what only the watcher needs of it.
type attachment struct {
	dataplane.Interface
	checkedAt        dataplane.Boottime // the last time; 0: never
	unprotectedSince dataplane.Boottime // 0: it is protected, down or gone
	bridge           int                // index of the bridge that it is a port of
	up               bool
	covered          bool // by the programs on its bridge
	copies           []dataplane.Problem
}

var errAbsent = errors.New("no such interface; it is attached to as soon as it appears")

// interfaces attaches the programs to the named interfaces and keeps them attached, before
// those of others. It has no lock: one goroutine at a time uses it, see watch. What it finds
// it publishes in the state.
type interfaces struct {
	names       []string
	nl          *netlink.Handle
	programs    *attach.Programs
	attacher    attach.Attacher
	state       *state
	log         *slog.Logger
	unprotected chan dataplane.Unprotected

	list    []attachment // in the order of the names
	pending []dataplane.Unprotected
}

// attachAll attaches the programs to every named interface that lacks them, logs what it
// did and what does not work any more, and returns the first failure that is not
// just an interface that is missing.
func (i *interfaces) attachAll(now *links.Snapshot) error {
	return i.attachThose(now, 0, func(int) bool { return true })
}

// attachThose does the interfaces of some indexes, and ports of bridges of these. notified
// is when the kernel notified of a change; 0: it did not.
func (i *interfaces) attachThose(now *links.Snapshot, notified dataplane.Boottime, changed func(index int) bool) error {
	if i.list == nil {
		i.list = make([]attachment, len(i.names))
	}
	var first error
	for at, name := range i.names {
		if !concerns(now, i.list[at], name, changed) {
			continue
		}
		if err := i.attachNamed(now, at, name, notified); err != nil && !errors.Is(err, errAbsent) && first == nil {
			first = err
		}
	}
	i.publish()
	return first
}

// undisturbed reports whether all interfaces are attached to, and nothing else is on their
// hooks than at the last look. False also where that takes as much as another look.
func (i *interfaces) undisturbed() bool {
	for at := range i.list {
		a, checkedAt := &i.list[at], kernel.BootNow()
		if !a.Attached || !i.attacher.Undisturbed(attach.Device{Name: a.Name, Index: a.Index}) {
			return false
		}
		a.checkedAt = checkedAt
	}
	return true
}

// concerns reports whether one of the indexes is that of an interface or of its bridge, now
// or before.
func concerns(now *links.Snapshot, before attachment, name string, changed func(index int) bool) bool {
	if changed(before.Index) || changed(before.bridge) {
		return true
	}
	l := now.ByName[name]
	return l != nil && (changed(l.Attrs().Index) || changed(l.Attrs().MasterIndex))
}

// attachNamed does one interface.
func (i *interfaces) attachNamed(now *links.Snapshot, at int, name string, notified dataplane.Boottime) error {
	before, checkedAt := i.list[at], kernel.BootNow()
	after, found, err := i.attachOne(now, name)
	after.checkedAt = checkedAt
	if after.Attached {
		after.Since = before.Since
		if found.did == attach.Attached || before.Since == 0 {
			after.Since = kernel.BootNow()
		}
	}
	i.logAttach(before, after, found)
	i.list[at] = i.recordUnprotected(before, after, found, notified)
	return err
}

// publish makes the list what readers see, then notifies of what began and ended.
func (i *interfaces) publish() {
	list := make([]dataplane.Interface, len(i.list))
	var copies []dataplane.Problem
	for at, a := range i.list {
		list[at] = a.Interface
		copies = append(copies, a.copies...)
	}
	i.state.setInterfaces(list)
	i.state.setProblems(byHooks, copies...)
	for _, u := range i.pending {
		select {
		case i.unprotected <- u:
		default:
			i.log.Warn("event channel full, interface event dropped", "interface", u.Interface)
		}
	}
	i.pending = i.pending[:0]
}

func (i *interfaces) attachOne(found *links.Snapshot, name string) (attachment, hooks, error) {
	now := attachment{Interface: dataplane.Interface{Name: name, Mode: i.attacher.Mode()}}
	l := found.ByName[name]
	if l == nil {
		now.Problem = errAbsent.Error()
		return now, hooks{}, errAbsent
	}
	now.Index = l.Attrs().Index
	bridge := found.Bridge(l)
	if now.Port = bridge != nil; now.Port {
		now.bridge = bridge.Attrs().Index
		now.covered = slices.Contains(i.names, bridge.Attrs().Name)
	}
	err := i.attachable(l, bridge, now.covered)
	var on hooks
	if err == nil {
		on, err = i.attachBoth(now)
	}
	if errors.Is(err, unix.ENODEV) { // it went since the snapshot
		return attachment{Interface: dataplane.Interface{Name: name, Mode: now.Mode, Problem: errAbsent.Error()}}, hooks{}, errAbsent
	}
	if err != nil {
		now.Problem = err.Error()
	} else if now.Problem = on.now.InFront(); now.Problem != "" {
		now.Code = dataplane.ProgramInFront
	}
	now.Attached = now.Problem == ""
	now.copies = on.now.ForeignCopies(name)
	now.up = i.isUp(l, on.did)
	return now, on, err
}

// isUp reports whether an interface lets packets pass. It is read anew when the
// programs were attached: it may have come up since the snapshot, before they were there.
func (i *interfaces) isUp(l netlink.Link, did attach.Change) bool {
	if did >= attach.Moved {
		if fresh, err := i.nl.LinkByIndex(l.Attrs().Index); err == nil {
			l = fresh
		}
	}
	return l.Attrs().Flags&net.FlagUp != 0
}

func (i *interfaces) attachBoth(to attachment) (on hooks, err error) {
	progs, err := i.programs.Get(bpf.VariantOf(to.Port))
	if err != nil {
		return on, err
	}
	for dir, prog := range progs {
		r, err := i.attacher.Ensure(attach.Device{Name: to.Name, Index: to.Index}, dir, prog)
		if err != nil {
			return on, err
		}
		on.add(dir, r)
	}
	return on, nil
}

// attachable refuses what cannot be metered, or would be metered twice.
func (i *interfaces) attachable(l, bridge netlink.Link, covered bool) error {
	name := l.Attrs().Name
	if l.Attrs().EncapType != "ether" {
		return fmt.Errorf("%s is no Ethernet interface (it is %q): clients are distinguished by their MAC", name, l.Attrs().EncapType)
	}
	if covered {
		if err := i.attacher.Release(attach.Device{Name: name, Index: l.Attrs().Index}); err != nil {
			return err
		}
		return fmt.Errorf("%s is a port of %s, which is named too: its traffic would be counted twice; name one of them",
			name, bridge.Attrs().Name)
	}
	return nil
}

func (i *interfaces) logAttach(before, now attachment, found hooks) {
	did := found.did
	if did == attach.Unchanged && now.Attached == before.Attached && now.Problem == before.Problem {
		return // as nearly always: a logger of its own is dear
	}
	log := i.log.With("interface", now.Name)
	if did == attach.Moved {
		log.Warn("moved to the first place", "reason", found.overtook())
	}
	switch {
	case now.Problem != "" && now.Problem != before.Problem:
		log.Warn("not attached", "reason", now.Problem)
	case !now.Attached:
	case did == attach.Attached && before.Attached && before.Index == now.Index:
		log.Warn("our programs were removed by another, attached again", "index", now.Index, "mode", now.Mode)
	case did == attach.Attached:
		log.Info("attached", "index", now.Index, "mode", now.Mode, "port", now.Port)
	case did == attach.Replaced:
		log.Info("programs replaced in place", "index", now.Index, "mode", now.Mode, "port", now.Port)
	case !before.Attached:
		log.Info("adopted", "index", now.Index, "mode", now.Mode, "port", now.Port)
	}
}

// releaseUnnamed takes the programs off interfaces that a former configuration named, and
// off those that have another name now.
func (i *interfaces) releaseUnnamed(now *links.Snapshot) error {
	held, err := i.attacher.Held()
	if err != nil {
		return err
	}
	for _, dev := range held {
		name := dev.Name
		if l := now.ByIndex[dev.Index]; l != nil {
			name = l.Attrs().Name
		}
		if slices.Contains(i.names, name) {
			continue
		}
		if err := i.attacher.Release(dev); err != nil {
			return err
		}
		i.log.Info("detached: no longer named in the configuration", "interface", name)
	}
	return nil
}

// loadNeeded loads what the interfaces that exist will need.
func (i *interfaces) loadNeeded(found *links.Snapshot) error {
	for _, name := range i.names {
		l := found.ByName[name]
		if _, err := i.programs.Get(bpf.VariantOf(l != nil && found.Bridge(l) != nil)); err != nil {
			return err
		}
	}
	return nil
}
