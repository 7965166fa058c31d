// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// The watcher's promise is one second; the rest is for a machine that is busy
// with other tests.
const atOnce = 5 * time.Second

func TestInterfaceThatAppears(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		opts := b.options("lan.20")
		d := b.open(opts)
		if s := d.Status(); s.Healthy || s.Interfaces[0].Attached || s.Interfaces[0].Problem == "" {
			t.Errorf("status without the interface: %+v", s)
		}
		if !b.log.has("no such interface") {
			t.Error("the log does not warn of the missing interface")
		}
		for range 3 {
			b.veth("lan.20")
			index := b.link("lan.20").Attrs().Index
			within(t, atOnce, "attached to the interface that appeared", func() bool {
				i := d.Status().Interfaces[0]
				return i.Attached && i.Index == index
			})
			b.programIDs("lan.20", d.interfaces.attacher.Mode())
			check(t, b.Netlink().LinkDel(b.link("lan.20")))
			within(t, atOnce, "the interface is seen to be gone", func() bool { return !d.attachedTo(t, "lan.20") })
		}
	})
}

func TestProgramRemovedByAnother(t *testing.T) {
	t.Run("link detached", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.veth("lan")
		d := b.open(b.options("lan"))
		before := b.linkIDs()
		for pin := range before {
			l, err := link.LoadPinnedLink(filepath.Join(b.bpffs, "links", pin), nil)
			check(t, err)
			check(t, l.Detach())
			_ = l.Close()
		}
		b.attachedAgain(d, func() bool {
			now := b.linkIDs()
			for pin, id := range now {
				if id == before[pin] {
					return false
				}
			}
			return len(now) == bpf.Directions
		})
	})
	t.Run("program of the link replaced", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.veth("lan")
		b.open(b.options("lan"))
		want := b.programIDs("lan", dataplane.TCX)
		l, err := link.LoadPinnedLink(filepath.Join(b.bpffs, "links", attach.LinkPin("lan", bpf.Upload)), nil)
		check(t, err)
		check(t, l.Update(foreignProgram(t)))
		_ = l.Close()
		within(t, atOnce, "our program is back", func() bool { return b.programIDs("lan", dataplane.TCX) == want })
	})
	// The revision of a hook begins anew with its first program: one of another owner in the
	// place of ours has the same number and the same count of programs.
	t.Run("another program in the place of ours", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.veth("lan")
		d := b.open(b.options("lan"))
		for dir := range bpf.Directions {
			l, err := link.LoadPinnedLink(filepath.Join(b.bpffs, "links", attach.LinkPin("lan", dir)), nil)
			check(t, err)
			other := b.rival(dir)
			check(t, l.Detach())
			check(t, other.toHead("lan"))
			_ = l.Close()
			within(t, atOnce, "ours is the first", func() bool { return slices.Equal(b.order(d, "lan", dir), []string{"ours", "observer"}) })
			check(t, other.leave("lan"))
		}
		within(t, atOnce, "nothing is wrong any more", func() bool { return d.Status().Healthy })
	})
	t.Run("pin removed", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.veth("lan")
		b.open(b.options("lan"))
		before := b.linkIDs()
		for pin := range before {
			check(t, os.Remove(filepath.Join(b.bpffs, "links", pin)))
		}
		within(t, atOnce, "the links are pinned again", func() bool { return len(b.linkIDs()) == bpf.Directions })
		for pin, id := range b.linkIDs() {
			if id != before[pin] {
				t.Errorf("%s is another link now", pin)
			}
		}
	})
	t.Run("filter deleted", func(t *testing.T) {
		b := newBox(t)
		b.veth("lan")
		b.clsact = true
		opts := b.options("lan")
		d := b.open(opts)
		check(t, b.Netlink().FilterDel(ownFilter(b.filters("lan", bpf.Download))))
		b.attachedAgain(d, func() bool { return ownFilter(b.filters("lan", bpf.Download)) != nil })
	})
	t.Run("qdisc deleted", func(t *testing.T) {
		b := newBox(t)
		b.veth("lan")
		b.clsact = true
		opts := b.options("lan")
		d := b.open(opts)
		check(t, b.Netlink().QdiscDel(attach.ClsactQdisc(b.link("lan").Attrs().Index)))
		b.attachedAgain(d, func() bool {
			return ownFilter(b.filters("lan", bpf.Download)) != nil && ownFilter(b.filters("lan", bpf.Upload)) != nil
		})
	})
}

func (b *box) attachedAgain(d *Dataplane, condition func() bool) {
	b.t.Helper()
	within(b.t, atOnce, "attached again", condition)
	within(b.t, atOnce, "logged", func() bool { return b.log.has("our programs were removed by another") })
	if !d.Status().Healthy {
		b.t.Errorf("status: %+v", d.Status())
	}
}

// foreignProgram is another program, that lets everything pass to the next.
func foreignProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "foreign",
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	check(t, err)
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

func TestForeignLinkStays(t *testing.T) {
	needTCX(t)
	b := newBox(t)
	b.veth("lan")
	foreign := foreignProgram(t)
	var l link.Link
	check(t, b.Do(func() (err error) {
		l, err = link.AttachTCX(link.TCXOptions{
			Interface: b.link("lan").Attrs().Index, Program: foreign, Attach: ebpf.AttachTCXIngress,
		})
		return err
	}))
	t.Cleanup(func() { _ = l.Close() })
	d := b.open(b.options("lan"))

	id, err := attach.ProgramID(foreign)
	check(t, err)
	want := []ebpf.ProgramID{b.programIDs("lan", dataplane.TCX)[bpf.Upload], id}
	if got := b.tcxPrograms("lan"); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("programs on the hook: %v, want ours before the other: %v", got, want)
	}
	check(t, d.Close())
	check(t, detachIn(b.bpffs, b.NetNS()))
	if got := b.tcxPrograms("lan"); len(got) != 1 || got[0] != id {
		t.Errorf("programs on the hook after a detach: %v, want the other: %v", got, id)
	}
}

// tcxPrograms lists the programs of the ingress hook in the order they run.
func (b *box) tcxPrograms(ifname string) []ebpf.ProgramID {
	b.t.Helper()
	var ids []ebpf.ProgramID
	check(b.t, b.Do(func() error {
		result, err := link.QueryPrograms(link.QueryOptions{
			Target: b.link(ifname).Attrs().Index, Attach: ebpf.AttachTCXIngress,
		})
		if err != nil {
			return err
		}
		for _, p := range result.Programs {
			ids = append(ids, p.ID)
		}
		return nil
	}))
	return ids
}

func TestForeignQdiscAndFilterStay(t *testing.T) {
	tests := map[string]struct {
		qdisc, filter     bool // another program made them
		wantQdisc, wantUs int
	}{
		"all ours":           {},
		"foreign qdisc":      {qdisc: true, wantQdisc: 1},
		"foreign filter too": {qdisc: true, filter: true, wantQdisc: 1},
		"filter on ours":     {filter: true, wantQdisc: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.veth("lan")
			index := b.link("lan").Attrs().Index
			if test.qdisc {
				check(t, b.Netlink().QdiscAdd(attach.ClsactQdisc(index)))
			}
			b.clsact = true
			d := b.open(b.options("lan"))
			foreign := b.foreignFilter()
			if test.filter {
				check(t, b.Netlink().FilterAdd(foreign))
			}
			check(t, d.Close())
			check(t, detachIn(b.bpffs, b.NetNS()))
			if got := b.clsactQdiscs("lan"); got != test.wantQdisc {
				t.Fatalf("%d clsact qdiscs after a detach, want %d", got, test.wantQdisc)
			}
			if test.wantQdisc == 0 {
				return
			}
			left := b.filters("lan", bpf.Upload)
			if test.filter != (len(left) == 1) || len(left) == 1 && left[0].Attrs().Handle != foreign.Handle {
				t.Errorf("filters after a detach: %v", left)
			}
		})
	}
}

func (b *box) foreignFilter() *netlink.BpfFilter {
	b.t.Helper()
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: b.link("lan").Attrs().Index,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    1,
			Priority:  1,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           foreignProgram(b.t).FD(),
		Name:         "foreign",
		DirectAction: true,
	}
}

func (b *box) clsactQdiscs(ifname string) int {
	b.t.Helper()
	list, err := b.Netlink().QdiscList(b.link(ifname))
	check(b.t, err)
	n := 0
	for _, q := range list {
		if q.Type() == attach.ClsactKind {
			n++
		}
	}
	return n
}

// filterOfAnotherKind adds a filter of priority 1 that is no program.
func (b *box) filterOfAnotherKind() netlink.Filter {
	b.t.Helper()
	attrs := netlink.FilterAttrs{
		LinkIndex: b.link("lan").Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL,
	}
	var other netlink.Filter = &netlink.U32{FilterAttrs: attrs}
	err := b.Netlink().FilterAdd(other)
	if errors.Is(err, unix.ENOENT) {
		other = &netlink.MatchAll{FilterAttrs: attrs} // a kernel without u32
		err = b.Netlink().FilterAdd(other)
	}
	check(b.t, err)
	return other
}

// A filter of another kind that holds our priority moves us behind it.
func TestForeignFilterOfAnotherKind(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	check(t, b.Netlink().QdiscAdd(attach.ClsactQdisc(b.link("lan").Attrs().Index)))
	b.filterOfAnotherKind()
	b.clsact = true
	opts := b.options("lan")
	b.open(opts)
	if ours := ownFilter(b.filters("lan", bpf.Upload)); ours == nil || ours.Priority != 2 {
		t.Errorf("our filter: %+v", ours)
	}
}

func TestForeignIngressQdisc(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	check(t, b.Netlink().QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: b.link("lan").Attrs().Index, Parent: netlink.HANDLE_INGRESS, Handle: netlink.MakeHandle(0xffff, 0),
	}}))
	b.clsact = true
	opts := b.options("lan")
	if d, err := Open(opts); err == nil {
		closeOnce(t, d)
		t.Error("Open succeeded without an egress hook")
	} else {
		t.Log(err)
	}
}

func TestBridgePorts(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan1")
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "br-lan"
		check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
		opts := b.options("lan1")
		d := b.open(opts)
		plain := b.programIDs("lan1", d.interfaces.attacher.Mode())

		check(t, b.Netlink().LinkSetMaster(b.link("lan1"), b.link("br-lan")))
		within(t, atOnce, "port programs", func() bool {
			return d.Status().Interfaces[0].Port && b.programIDs("lan1", d.interfaces.attacher.Mode()) != plain
		})
		check(t, b.Netlink().LinkSetNoMaster(b.link("lan1")))
		within(t, atOnce, "plain programs", func() bool {
			return !d.Status().Interfaces[0].Port && b.programIDs("lan1", d.interfaces.attacher.Mode()) == plain
		})
	})
}

// Traffic of a port whose bridge is named too would be counted twice.
func TestBridgeAndItsPort(t *testing.T) {
	b := newBox(t)
	b.veth("lan1")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br-lan"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	d := b.open(b.options("br-lan", "lan1"))
	if !d.Status().Healthy {
		t.Fatalf("status: %+v", d.Status())
	}
	check(t, b.Netlink().LinkSetMaster(b.link("lan1"), b.link("br-lan")))
	within(t, atOnce, "the port is let go", func() bool {
		return slices.Equal(b.held(d), []string{"br-lan"}) && !d.attachedTo(t, "lan1")
	})
	if !b.log.has("counted twice") {
		t.Error("the log does not say why")
	}
}

func TestNoEthernet(t *testing.T) {
	b := newBox(t)
	if d, err := Open(b.options("lo")); err == nil {
		closeOnce(t, d)
		t.Error("Open attached to lo")
	}
}
