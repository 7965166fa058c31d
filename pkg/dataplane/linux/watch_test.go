// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// Readers wait for no netlink dump: while one hangs they get what was found last.
func TestStatusWhileARefreshHangs(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	opts := b.options("lan")
	hang, entered, release := &atomic.Bool{}, make(chan struct{}, 1), make(chan struct{})
	opts.snapshot = func(before *links.Snapshot, h *netlink.Handle, c links.Changes) (*links.Snapshot, error) {
		if hang.CompareAndSwap(true, false) {
			entered <- struct{}{}
			<-release
		}
		return before.Refresh(h, c)
	}
	d := b.open(opts)
	hang.Store(true)
	b.veth("other") // has the interfaces compared
	<-entered
	answered := make(chan dataplane.Status)
	go func() {
		_, _ = d.HoldersOf(netip.MustParseAddr("192.0.2.1"), "")
		d.RouterMACs()
		answered <- d.Status()
	}()
	within(t, atOnce, "the status is there", func() bool {
		select {
		case s := <-answered:
			return len(s.Interfaces) == 1 && s.Interfaces[0].Attached && s.Healthy
		default:
			return false
		}
	})
	close(release)
	within(t, atOnce, "the comparison continues", func() bool { return d.state.currentLinks().ByName["other"] != nil })
}
