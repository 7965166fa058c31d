// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// next receives the next event, which must come by itself.
func next(t *testing.T, d *Dataplane) dataplane.Unprotected {
	t.Helper()
	select {
	case e := <-d.Unprotected():
		return e
	case <-time.After(atOnce):
		t.Fatalf("no event within %s", atOnce)
		return dataplane.Unprotected{}
	}
}

// unprotectedOnce expects the events of the beginning and the end of one unprotected
// time, and returns the cause of the one and how long it lasted of the other.
func unprotectedOnce(t *testing.T, d *Dataplane, ifname string) dataplane.Unprotected {
	t.Helper()
	began := next(t, d)
	if began.Interface != ifname || began.Over || began.Lasted != 0 || began.Cause == "" {
		t.Errorf("event %+v, want the beginning", began)
	}
	e := next(t, d)
	if e.Interface != ifname || !e.Over || e.Lasted <= 0 || e.Lasted > atOnce {
		t.Errorf("event %+v, want the end", e)
	}
	e.Cause = began.Cause
	return e
}

// vethUp adds a pair whose first end is up when it appears.
func (b *box) vethUp(name string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = name, net.FlagUp
	check(b.t, b.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
}

func TestUnprotected(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		d := b.open(b.options("lan"))
		var sum time.Duration
		for range 2 {
			check(t, b.Netlink().LinkDel(b.link("lan")))
			within(t, atOnce, "the interface is seen to be gone", func() bool { return !d.attachedTo(t, "lan") })
			b.vethUp("lan")
			sum += unprotectedOnce(t, d, "lan").Lasted
		}
		if got := d.Status().Interfaces[0].UnprotectedFor; got != sum {
			t.Errorf("unprotected for %s in all, want %s", got, sum)
		}
		for _, words := range []string{"unprotected: an interface is up", "protected again", "unprotected_ms="} {
			if !b.log.has(words) {
				t.Errorf("the log does not have %q", words)
			}
		}
	})
}

func TestUnprotectedByAnother(t *testing.T) {
	t.Run("link detached", func(t *testing.T) {
		needTCX(t)
		b := newBox(t)
		b.veth("lan")
		d := b.open(b.options("lan"))
		l, err := link.LoadPinnedLink(filepath.Join(b.bpffs, "links", attach.LinkPin("lan", bpf.Upload)), nil)
		check(t, err)
		check(t, l.Detach())
		check(t, l.Close())
		unprotectedOnce(t, d, "lan")
	})
	t.Run("qdisc deleted", func(t *testing.T) {
		b := newBox(t)
		b.veth("lan")
		b.clsact = true
		d := b.open(b.options("lan"))
		check(t, b.Netlink().QdiscDel(attach.ClsactQdisc(b.link("lan").Attrs().Index)))
		unprotectedOnce(t, d, "lan")
	})
}

// An interface that is down lets nothing pass, nor does one that is gone.
func TestNotUnprotectedWhileDown(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		d := b.open(b.options("lan"))
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "lan"
		check(t, b.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "lanp"}))
		within(t, atOnce, "attached", func() bool { return d.attachedTo(t, "lan") })
		check(t, b.Netlink().LinkSetUp(b.link("lan")))
		check(t, b.Netlink().LinkSetDown(b.link("lan")))
		check(t, b.Netlink().LinkDel(b.link("lan")))
		within(t, atOnce, "the interface is seen to be gone", func() bool { return !d.attachedTo(t, "lan") })
		select {
		case e := <-d.Unprotected():
			t.Errorf("event %+v", e)
		default:
		}
		if got := d.Status().Interfaces[0].UnprotectedFor; got != 0 {
			t.Errorf("unprotected for %s", got)
		}
	})
}

// An interface whose programs cannot be attached stays unprotected until they can.
func TestUnprotectedThatLasts(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.clsact = true
	d := b.open(b.options("lan"))
	index := b.link("lan").Attrs().Index
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_INGRESS, Handle: netlink.MakeHandle(0xffff, 0),
	}}
	// The agent may be faster than the second step: then its qdisc is taken away again.
	within(t, atOnce, "another kind of qdisc is there", func() bool {
		_ = b.Netlink().QdiscDel(attach.ClsactQdisc(index))
		return b.Netlink().QdiscAdd(ingress) == nil
	})
	within(t, atOnce, "not attached", func() bool { return !d.attachedTo(t, "lan") })
	// Each failed step before may have begun and ended one.
	for last := next(t, d); ; {
		select {
		case last = <-d.Unprotected():
			continue
		default:
		}
		if !last.Over {
			break
		}
		last = next(t, d)
	}
	check(t, b.Netlink().QdiscDel(ingress))
	within(t, atOnce, "protected again", func() bool { return d.attachedTo(t, "lan") })
	within(t, atOnce, "the event of the end", func() bool {
		e := next(t, d)
		return e.Over && e.Lasted > 0
	})
	if i := d.Status().Interfaces[0]; i.UnprotectedFor <= 0 {
		t.Errorf("status: %+v", i)
	}
}
