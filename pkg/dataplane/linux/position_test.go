// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
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

// The kind of fault that these tests are of: "attached" has to mean that ours decides first
// on this device, by the kernel's word of now. That a link of ours exists, is pinned under
// the right name, or has the right index says less.

// accepting is another tool's program: what it sees passes, and no later program is asked.
func accepting(t *testing.T) *ebpf.Program {
	t.Helper()
	const tcActOK = 0
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "observer", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcActOK), asm.Return()},
	})
	check(t, err)
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

// rival puts a program before all others on a hook, in the mode of the box, and can take it
// away again.
type rival struct {
	b    *box
	prog *ebpf.Program
	dir  int
	link link.Link // tcx
}

func (b *box) rival(dir int) *rival { return &rival{b: b, prog: accepting(b.t), dir: dir} }

func (r *rival) filter(ifname string) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: r.b.link(ifname).Attrs().Index, Parent: attach.ClsactParents[r.dir],
			Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: r.prog.FD(), Name: "observer", DirectAction: true,
	}
}

func (r *rival) toHead(ifname string) error {
	_ = r.leave(ifname)
	if r.b.clsact {
		return r.b.Netlink().FilterAdd(r.filter(ifname))
	}
	index := r.b.link(ifname).Attrs().Index
	return r.b.Do(func() (err error) {
		r.link, err = link.AttachTCX(link.TCXOptions{
			Interface: index, Program: r.prog, Attach: attach.TCXAttachTypes[r.dir], Anchor: link.Head(),
		})
		return err
	})
}

func (r *rival) leave(ifname string) error {
	if r.b.clsact {
		return r.b.Netlink().FilterDel(r.filter(ifname))
	}
	if r.link == nil {
		return nil
	}
	return r.link.Close()
}

// order names what is on a hook: "ours", or the name of another.
func (b *box) order(d *Dataplane, ifname string, dir int) (list []string) {
	b.t.Helper()
	on, err := attach.Inspect(d.pins, d.ns, attach.Device{Name: ifname, Index: b.link(ifname).Attrs().Index})
	check(b.t, err)
	for _, p := range on[dir] {
		if p.Own {
			list = append(list, "ours")
		} else {
			list = append(list, p.Name)
		}
	}
	return list
}

func TestAnotherProgramGoesBeforeOurs(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		d := b.open(b.options("lan"))
		for dir := range bpf.Directions {
			other := b.rival(dir)
			check(t, other.toHead("lan"))
			within(t, atOnce, "ours is the first again, the other one runs after it", func() bool {
				return slices.Equal(b.order(d, "lan", dir), []string{"ours", "observer"})
			})
			if cause := unprotectedOnce(t, d, "lan").Cause; !strings.Contains(cause, "\"observer\" on "+attach.HookNames[dir]+" ran before ours") {
				t.Errorf("the cause is %q", cause)
			}
			check(t, other.leave("lan"))
		}
		within(t, atOnce, "nothing is wrong any more", func() bool { return d.Status().Healthy })
		b.programIDs("lan", d.interfaces.attacher.Mode())
	})
}

// A tool that takes the first place back each time is not fought with for ever: each move
// costs packets. The exposure is reported while it lasts.
func TestContestForTheFirstPlaceIsBounded(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		d := b.open(b.options("lan"))
		other := b.rival(bpf.Upload)
		var moves int
		stop, stopped := atomic.Bool{}, make(chan struct{})
		go func() {
			defer close(stopped)
			for !stop.Load() {
				if first := b.order(d, "lan", bpf.Upload)[0]; first != "observer" {
					moves++
					_ = other.toHead("lan")
				}
			}
		}()
		d.begins(t, dataplane.ProgramInFront, "lan", "observer")
		time.Sleep(2 * time.Second) // while the other one answers each move at once
		stop.Store(true)
		<-stopped
		if moves > 6 { // at once, at once, after a second, after two more; and the first of all
			t.Errorf("ours went to the first place %d times in some seconds", moves)
		}
		within(t, 3*atOnce, "ours is the first again", func() bool { return b.order(d, "lan", bpf.Upload)[0] == "ours" && d.Status().Healthy })
		if got := d.Status().Interfaces[0].UnprotectedFor; got < time.Second {
			t.Errorf("unprotected for %s in all", got)
		}
		check(t, other.leave("lan"))
	})
}

// What cannot be overtaken is an exposure while it is there: a filter of another kind that
// has the first priority, and a program of tcx before filters.
func TestNotOvertaken(t *testing.T) {
	begins := func(t *testing.T, d *Dataplane, want string) {
		t.Helper()
		d.begins(t, dataplane.ProgramInFront, "lan", want)
		if e := next(t, d); e.Interface != "lan" || e.Over || !strings.Contains(e.Cause, want) {
			t.Errorf("event %+v, want the beginning", e)
		}
	}
	ends := func(t *testing.T, d *Dataplane) {
		t.Helper()
		d.ends(t, dataplane.ProgramInFront, "lan")
		if e := next(t, d); !e.Over || e.Lasted <= 0 {
			t.Errorf("event %+v, want the end", e)
		}
	}
	t.Run("filter of another kind", func(t *testing.T) {
		b := newBox(t)
		b.clsact = true
		b.veth("lan")
		check(t, b.Netlink().QdiscAdd(attach.ClsactQdisc(b.link("lan").Attrs().Index)))
		other := b.filterOfAnotherKind()
		d := b.open(b.options("lan"))
		begins(t, d, " of priority 1 on ingress runs before ours")
		check(t, b.Netlink().FilterDel(other))
		ends(t, d)
	})
	t.Run("tcx before filters", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.clsact = true
		b.veth("lan")
		d := b.open(b.options("lan"))
		other := b.rival(bpf.Download)
		b.clsact = false
		check(t, other.toHead("lan"))
		begins(t, d, "on egress runs before ours")
		check(t, other.leave("lan"))
		ends(t, d)
	})
}

// A process that died while it moved leaves a program that drops everything in front, and
// ours behind: the next start takes up from there.
func TestStartAfterAnUnfinishedMove(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		d := b.open(b.options("lan"))
		programs := b.programIDs("lan", d.interfaces.attacher.Mode())
		drops := foreignProgram(t)
		dev := attach.Device{Name: "lan", Index: b.link("lan").Attrs().Index}
		check(t, d.Close())
		b.leaveGate(dev, drops)
		d = b.open(b.options("lan"))
		if got := b.order(d, "lan", bpf.Upload); !slices.Equal(got, []string{"ours"}) {
			t.Errorf("on the hook: %v", got)
		}
		if got := b.programIDs("lan", d.interfaces.attacher.Mode()); got != programs {
			t.Errorf("programs %v, want %v", got, programs)
		}
	})
}

// leaveGate puts a program of ours before ours, as a move does first.
func (b *box) leaveGate(dev attach.Device, prog *ebpf.Program) {
	b.t.Helper()
	if b.clsact {
		check(b.t, b.Netlink().FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: dev.Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 0x6874, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: prog.FD(), Name: "hotspot-agent:from_client", DirectAction: true,
		}))
		return
	}
	check(b.t, b.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: dev.Index, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		return l.Pin(b.bpffs + "/links/" + attach.LinkPin(dev.Name, bpf.Upload) + ":99")
	}))
}

// vethAt adds a pair whose first end has an index.
func (b *box) vethAt(name string, index int) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = name, index
	check(b.t, b.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	check(b.t, b.Netlink().LinkSetUp(b.link(name)))
}

// An interface goes to another namespace alive, with our link on it, and a new one has its
// name and index.
func TestAnotherDeviceWithNameAndIndex(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		other := newBox(t)
		const index = 4321
		b.vethAt("lan", index)
		d := b.open(b.options("lan"))
		before := b.programIDs("lan", d.interfaces.attacher.Mode())
		for range 2 {
			ns, err := os.Open(other.NetNS())
			check(t, err)
			check(t, b.Netlink().LinkSetNsFd(b.link("lan"), int(ns.Fd())))
			check(t, ns.Close())
			check(t, b.Netlink().LinkDel(b.link("lanp")))
			b.vethAt("lan", index)
			within(t, atOnce, "attached to the new device", func() bool {
				return slices.Equal(b.order(d, "lan", bpf.Upload), []string{"ours"}) && slices.Equal(b.order(d, "lan", bpf.Download), []string{"ours"})
			})
		}
		within(t, atOnce, "healthy", func() bool { return d.Status().Healthy })
		if got := b.programIDs("lan", d.interfaces.attacher.Mode()); got != before {
			t.Errorf("programs %v, want %v", got, before)
		}
		if got := b.held(d); !slices.Equal(got, []string{"lan"}) {
			t.Errorf("held: %v", got)
		}
	})
}

func (b *box) rename(from, to string) {
	b.t.Helper()
	check(b.t, b.Netlink().LinkSetDown(b.link(from)))
	check(b.t, b.Netlink().LinkSetName(b.link(from), to))
	check(b.t, b.Netlink().LinkSetUp(b.link(to)))
}

// A link of ours is adopted by the device that it hangs on, whatever its pin is called.
func TestInterfacesRenamed(t *testing.T) {
	bothOn := func(b *box, d *Dataplane, names ...string) func() bool {
		return func() bool {
			for _, name := range names {
				if !d.attachedTo(b.t, name) || !slices.Equal(b.order(d, name, bpf.Upload), []string{"ours"}) {
					return false
				}
			}
			return true
		}
	}
	for _, restarted := range []bool{false, true} {
		name := "while it runs"
		if restarted {
			name = "while it does not"
		}
		t.Run(name, func(t *testing.T) {
			modes(t, func(b *box) {
				t := b.t
				b.veth("wlan0")
				b.veth("wlan1")
				d := b.open(b.options("wlan0", "wlan1"))
				change := func(do func()) {
					if restarted {
						check(t, d.Close())
					}
					do()
					if restarted {
						d = b.open(b.options("wlan0", "wlan1"))
					}
				}
				change(func() { // swapped
					b.rename("wlan0", "wlanx")
					b.rename("wlan1", "wlan0")
					b.rename("wlanx", "wlan1")
				})
				within(t, atOnce, "attached to both", bothOn(b, d, "wlan0", "wlan1"))
				change(func() { // one takes the place of the other
					check(t, b.Netlink().LinkDel(b.link("wlan0")))
					b.rename("wlan1", "wlan0")
				})
				within(t, atOnce, "attached to the renamed one", bothOn(b, d, "wlan0"))
				within(t, atOnce, "the other one is missing", func() bool { return !d.attachedTo(t, "wlan1") })
				check(t, d.Close())
				d = b.open(b.options("wlan0"))
				if !d.Status().Healthy {
					t.Errorf("status after a start: %+v", d.Status())
				}
				if got := b.held(d); !slices.Equal(got, []string{"wlan0"}) {
					t.Errorf("held: %v", got)
				}
			})
		})
	}
}

// A device that has another name now is no longer named, at the next start.
func TestRenamedAwayIsReleased(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		check(t, b.open(b.options("lan")).Close())
		b.rename("lan", "away")
		d := b.open(b.options("lan"))
		if got := b.order(d, "away", bpf.Upload); len(got) != 0 {
			t.Errorf("on the hook: %v", got)
		}
	})
}
