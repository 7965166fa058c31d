// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// attachment is an interface, with what only the watcher needs of it.
type attachment struct {
	dataplane.Interface
	unprotectedSince dataplane.Boottime // 0: it is protected, down or gone
	up               bool
	covered          bool // by the programs on its bridge
}

var errAbsent = errors.New("no such interface; it is attached to as soon as it appears")

// attachAll sees that the programs are on every named interface, says what it
// did and what does not work any more, and returns the first failure that is not
// just an interface that is missing. heard is when the kernel told of a change; 0: it did not.
func (d *Dataplane) attachAll(heard dataplane.Boottime) error {
	d.seen.Lock()
	defer d.seen.Unlock()
	if d.seen.attachments == nil {
		d.seen.attachments = make([]attachment, len(d.opts.Interfaces))
	}
	looked := BootNow()
	var first error
	for i, name := range d.opts.Interfaces {
		before := d.seen.attachments[i]
		now, did, err := d.attachOne(d.seen.view, name)
		if now.Attached {
			now.Since = before.Since
			if did == attached || before.Since == 0 {
				now.Since = BootNow()
			}
		}
		d.logAttach(before, now, did)
		d.seen.attachments[i] = d.exposure(before, now, did, heard)
		if err != nil && !errors.Is(err, errAbsent) && first == nil {
			first = err
		}
	}
	d.seen.looked = looked
	return first
}

func (d *Dataplane) attachOne(v *view, name string) (attachment, change, error) {
	now := attachment{Interface: dataplane.Interface{Name: name, Mode: d.hooks.mode()}}
	l := v.byName[name]
	if l == nil {
		now.Problem = errAbsent.Error()
		return now, unchanged, errAbsent
	}
	now.Index = l.Attrs().Index
	bridge := v.bridge(l)
	now.Port = bridge != nil
	now.covered = bridge != nil && slices.Contains(d.opts.Interfaces, bridge.Attrs().Name)
	err := d.attachable(l, bridge, now.covered)
	did := unchanged
	if err == nil {
		did, err = d.attachBoth(now)
	}
	if errors.Is(err, unix.ENODEV) { // it went since the view was taken
		return attachment{Interface: dataplane.Interface{Name: name, Mode: now.Mode, Problem: errAbsent.Error()}}, unchanged, errAbsent
	}
	if err != nil {
		now.Problem = err.Error()
	}
	now.Attached = err == nil
	now.up = d.isUp(l, did)
	return now, did, err
}

// isUp reports whether an interface lets packets pass. It is asked anew when the
// programs came to it: it may have come up since the view was taken, before they were there.
func (d *Dataplane) isUp(l netlink.Link, did change) bool {
	if did == attached {
		if fresh, err := d.nl.LinkByIndex(l.Attrs().Index); err == nil {
			l = fresh
		}
	}
	return l.Attrs().Flags&net.FlagUp != 0
}

func (d *Dataplane) attachBoth(i attachment) (change, error) {
	progs, err := d.progs.get(variantOf(i.Port))
	if err != nil {
		return unchanged, err
	}
	did := unchanged
	for dir, prog := range progs {
		c, err := d.hooks.ensure(device{i.Name, i.Index}, dir, prog)
		if err != nil {
			return did, err
		}
		did = max(did, c)
	}
	return did, nil
}

func variantOf(port bool) variant {
	if port {
		return bridgePort
	}
	return wholeInterface
}

// attachable refuses what cannot be metered, or would be metered twice.
func (d *Dataplane) attachable(l, bridge netlink.Link, covered bool) error {
	name := l.Attrs().Name
	if l.Attrs().EncapType != "ether" {
		return fmt.Errorf("%s is no Ethernet interface (it is %q): clients are told apart by their MAC", name, l.Attrs().EncapType)
	}
	if covered {
		if err := d.hooks.release(name); err != nil {
			return err
		}
		return fmt.Errorf("%s is a port of %s, which is named too: its traffic would be counted twice; name one of them",
			name, bridge.Attrs().Name)
	}
	return nil
}

func (d *Dataplane) logAttach(before, now attachment, did change) {
	if did == unchanged && now.Attached == before.Attached && now.Problem == before.Problem {
		return // as nearly always: a logger of its own is dear
	}
	log := d.opts.Log.With("interface", now.Name)
	switch {
	case now.Problem != "" && now.Problem != before.Problem:
		log.Warn("not attached", "reason", now.Problem)
	case !now.Attached:
	case did == attached && before.Attached && before.Index == now.Index:
		log.Warn("someone removed our programs: attached again", "index", now.Index, "mode", now.Mode)
	case did == attached:
		log.Info("attached", "index", now.Index, "mode", now.Mode, "port", now.Port)
	case did == replaced:
		log.Info("programs replaced in place", "index", now.Index, "mode", now.Mode, "port", now.Port)
	case !before.Attached:
		log.Info("adopted", "index", now.Index, "mode", now.Mode, "port", now.Port)
	}
}

// releaseUnnamed takes the programs off interfaces that a former configuration named.
func (d *Dataplane) releaseUnnamed() error {
	held, err := d.hooks.held()
	if err != nil {
		return err
	}
	for _, name := range held {
		if slices.Contains(d.opts.Interfaces, name) {
			continue
		}
		if err := d.hooks.release(name); err != nil {
			return err
		}
		d.opts.Log.Info("detached: no longer named in the configuration", "interface", name)
	}
	return nil
}
