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
	unprotectedSince dataplane.Boottime // 0: it is protected, down or gone
	up               bool
	covered          bool // by the programs on its bridge
}

var errAbsent = errors.New("no such interface; it is attached to as soon as it appears")

// interfaces attaches the programs to the named interfaces and keeps them attached. It
// has no lock: one goroutine at a time uses it, see watch. What it finds it publishes in
// the state.
type interfaces struct {
	names       []string
	nl          *netlink.Handle
	programs    *attach.Programs
	attacher    attach.Attacher
	state       *state
	log         *slog.Logger
	unprotected chan dataplane.Unprotected

	list      []attachment       // in the order of the names
	checkedAt dataplane.Boottime // the last time
	pending   []dataplane.Unprotected
}

// attachAll attaches the programs to every named interface that lacks them, logs what it
// did and what does not work any more, and returns the first failure that is not
// just an interface that is missing. notified is when the kernel notified of a change; 0:
// it did not.
func (i *interfaces) attachAll(now *links.Snapshot, notified dataplane.Boottime) error {
	if i.list == nil {
		i.list = make([]attachment, len(i.names))
	}
	checkedAt := kernel.BootNow()
	var first error
	for at, name := range i.names {
		if err := i.attachNamed(now, at, name, notified); err != nil && !errors.Is(err, errAbsent) && first == nil {
			first = err
		}
	}
	i.checkedAt = checkedAt
	i.publish()
	return first
}

// attachNamed does one interface of attachAll.
func (i *interfaces) attachNamed(now *links.Snapshot, at int, name string, notified dataplane.Boottime) error {
	before := i.list[at]
	after, did, err := i.attachOne(now, name)
	if after.Attached {
		after.Since = before.Since
		if did == attach.Attached || before.Since == 0 {
			after.Since = kernel.BootNow()
		}
	}
	i.logAttach(before, after, did)
	i.list[at] = i.recordUnprotected(before, after, did, notified)
	return err
}

// publish makes the list what readers see, then notifies of what began and ended.
func (i *interfaces) publish() {
	list := make([]dataplane.Interface, len(i.list))
	for at, a := range i.list {
		list[at] = a.Interface
	}
	i.state.setInterfaces(list)
	for _, u := range i.pending {
		select {
		case i.unprotected <- u:
		default:
			i.log.Warn("event channel full, interface event dropped", "interface", u.Interface)
		}
	}
	i.pending = i.pending[:0]
}

func (i *interfaces) attachOne(found *links.Snapshot, name string) (attachment, attach.Change, error) {
	now := attachment{Interface: dataplane.Interface{Name: name, Mode: i.attacher.Mode()}}
	l := found.ByName[name]
	if l == nil {
		now.Problem = errAbsent.Error()
		return now, attach.Unchanged, errAbsent
	}
	now.Index = l.Attrs().Index
	bridge := found.Bridge(l)
	now.Port = bridge != nil
	now.covered = bridge != nil && slices.Contains(i.names, bridge.Attrs().Name)
	err := i.attachable(l, bridge, now.covered)
	did := attach.Unchanged
	if err == nil {
		did, err = i.attachBoth(now)
	}
	if errors.Is(err, unix.ENODEV) { // it went since the snapshot
		return attachment{Interface: dataplane.Interface{Name: name, Mode: now.Mode, Problem: errAbsent.Error()}}, attach.Unchanged, errAbsent
	}
	if err != nil {
		now.Problem = err.Error()
	}
	now.Attached = err == nil
	now.up = i.isUp(l, did)
	return now, did, err
}

// isUp reports whether an interface lets packets pass. It is read anew when the
// programs were attached: it may have come up since the snapshot, before they were there.
func (i *interfaces) isUp(l netlink.Link, did attach.Change) bool {
	if did == attach.Attached {
		if fresh, err := i.nl.LinkByIndex(l.Attrs().Index); err == nil {
			l = fresh
		}
	}
	return l.Attrs().Flags&net.FlagUp != 0
}

func (i *interfaces) attachBoth(to attachment) (attach.Change, error) {
	progs, err := i.programs.Get(bpf.VariantOf(to.Port))
	if err != nil {
		return attach.Unchanged, err
	}
	did := attach.Unchanged
	for dir, prog := range progs {
		c, err := i.attacher.Ensure(attach.Device{Name: to.Name, Index: to.Index}, dir, prog)
		if err != nil {
			return did, err
		}
		did = max(did, c)
	}
	return did, nil
}

// attachable refuses what cannot be metered, or would be metered twice.
func (i *interfaces) attachable(l, bridge netlink.Link, covered bool) error {
	name := l.Attrs().Name
	if l.Attrs().EncapType != "ether" {
		return fmt.Errorf("%s is no Ethernet interface (it is %q): clients are distinguished by their MAC", name, l.Attrs().EncapType)
	}
	if covered {
		if err := i.attacher.Release(name); err != nil {
			return err
		}
		return fmt.Errorf("%s is a port of %s, which is named too: its traffic would be counted twice; name one of them",
			name, bridge.Attrs().Name)
	}
	return nil
}

func (i *interfaces) logAttach(before, now attachment, did attach.Change) {
	if did == attach.Unchanged && now.Attached == before.Attached && now.Problem == before.Problem {
		return // as nearly always: a logger of its own is dear
	}
	log := i.log.With("interface", now.Name)
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

// releaseUnnamed takes the programs off interfaces that a former configuration named.
func (i *interfaces) releaseUnnamed() error {
	held, err := i.attacher.Interfaces()
	if err != nil {
		return err
	}
	for _, name := range held {
		if slices.Contains(i.names, name) {
			continue
		}
		if err := i.attacher.Release(name); err != nil {
			return err
		}
		i.log.Info("detached: no longer named in the configuration", "interface", name)
	}
	return nil
}

// recordUnprotected adds up the time for which an interface was up without both
// programs: from when the kernel notified of the change, or where it does not, from the
// last check that found all well. What was before the first check is unknown.
func (i *interfaces) recordUnprotected(before, now attachment, did attach.Change, notified dataplane.Boottime) attachment {
	now.UnprotectedFor, now.unprotectedSince = before.UnprotectedFor, before.unprotectedSince
	open := now.up && !now.Attached && !now.covered
	if now.unprotectedSince == 0 && i.checkedAt != 0 && (open || now.up && did == attach.Attached) {
		now.unprotectedSince = i.unprotectedFrom(before, now, notified)
		i.log.Warn("unprotected: an interface is up without our programs", "interface", now.Name)
		i.pending = append(i.pending, dataplane.Unprotected{Interface: now.Name})
	}
	if now.unprotectedSince != 0 && !open {
		lasted := kernel.BootNow().Sub(now.unprotectedSince)
		now.unprotectedSince = 0
		now.UnprotectedFor += lasted
		i.log.Warn("protected again", "interface", now.Name, "unprotected_ms", lasted.Milliseconds())
		i.pending = append(i.pending, dataplane.Unprotected{Interface: now.Name, Over: true, Lasted: lasted})
	}
	return now
}

// unprotectedFrom: the kernel does not notify of a link that another process detached, and
// it notifies of a filter before that is gone, so that the check which this caused may
// have come too early.
func (i *interfaces) unprotectedFrom(before, now attachment, notified dataplane.Boottime) dataplane.Boottime {
	taken := before.Attached && before.Index == now.Index
	early := notified.Sub(i.checkedAt) < 2*recheckDelay
	if notified == 0 || taken && (now.Mode == dataplane.TCX || early) {
		return i.checkedAt
	}
	return notified
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
