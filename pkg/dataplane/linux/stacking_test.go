// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// The kind: two named interfaces of which one carries the frames of the other. The pure
// rule is in internal/links; here are the kinds that every kernel can make.
func TestStackedInterfacesAreRefused(t *testing.T) {
	for name, stack := range map[string]func(b *box){
		"bridge and port": func(b *box) {
			b.bridge("upper")
			check(b.t, b.Netlink().LinkSetMaster(b.link("lower"), b.link("upper")))
		},
		"macvlan and parent": func(b *box) { b.macvlan("upper", "lower") },
		"macvlan on a bridge and a port of that": func(b *box) {
			b.bridge("between")
			check(b.t, b.Netlink().LinkSetMaster(b.link("lower"), b.link("between")))
			b.macvlan("upper", "between")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.veth("lower")
			stack(b)
			d, err := Open(b.options("lower", "upper"))
			if err == nil {
				check(t, d.Close())
			}
			if err == nil || !strings.Contains(err.Error(), "lower carries the frames of upper") {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// Interfaces that become stacked while the agent runs are a problem until they are not.
func TestStackedLater(t *testing.T) {
	b := newBox(t)
	b.veth("lower")
	b.bridge("upper")
	d := b.open(b.options("lower", "upper"))
	stacked := func() bool {
		return slices.ContainsFunc(d.Status().Problems, func(p dataplane.Problem) bool {
			return p.Code == dataplane.StackedInterfaces && p.Interface == "lower" && p.Subject == "upper" && p.Exposed
		})
	}
	if stacked() {
		t.Error("apart, and stacked")
	}
	check(t, b.Netlink().LinkSetMaster(b.link("lower"), b.link("upper")))
	within(t, seen, "the problem", stacked)
	check(t, b.Netlink().LinkSetNoMaster(b.link("lower")))
	within(t, seen, "its end", func() bool { return !stacked() })
}

// seen is how soon a change of what is beside the programs is a problem, or its end.
const seen = 2 * time.Second

func (b *box) macvlan(name, on string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, b.link(on).Attrs().Index
	check(b.t, b.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}))
}
