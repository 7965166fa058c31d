// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

const (
	// neighborBacklog is how many neighbours wait for a slow consumer here.
	neighborBacklog = 256
	// neighborsPerSecond bounds the work that made-up neighbours cause, and a MAC that two
	// machines toss between the ports of a bridge with each of their frames. What exceeds
	// it the socket drops; the tables are scanned then.
	neighborsPerSecond = 4000
	// scanEvery bounds how often the tables are scanned, and scanRest which part of the time
	// that takes: a flood of made-up MACs is to be read again and again.
	scanEvery = time.Second
	scanRest  = 9
)

// neighbors delivers where clients with a rule are: as the kernel's neighbour tables and
// bridges report it, and once from what they have when a client gets its rule.
type neighbors struct {
	ifnames []string
	ns      *links.NetNS
	table   *tables.Table
	state   *state
	watcher *links.Watcher // dirty when clients are to be found in the tables
	log     *slog.Logger
	found   chan dataplane.Neighbor
	closing <-chan struct{}
}

// receive delivers what the kernel notifies of, until close.
func (n *neighbors) receive() {
	second, received := time.Now(), 0
	for {
		messages, _, err := n.watcher.Sock.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			n.watcher.MarkDirty()
		} else if err != nil && n.watcher.BackOff(err) {
			return
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWNEIGH {
				continue
			}
			if entry, err := netlink.NeighDeserialize(m.Data); err == nil && !n.deliver(entry, links.NeighStateOf(entry.State)) {
				return
			}
		}
		if received += len(messages); received >= neighborsPerSecond {
			select {
			case <-n.closing:
				return
			case <-time.After(time.Until(second.Add(time.Second))):
			}
			second, received = time.Now(), 0
		}
	}
}

// scan delivers what the tables have when there is reason to, until close.
func (n *neighbors) scan() {
	for {
		select {
		case <-n.closing:
			return
		case <-n.watcher.Dirty:
		}
		began := time.Now()
		if err := n.scanTables(); err != nil {
			n.log.Warn("neighbour tables not read, a client.conflict may be missed", "error", err)
		}
		select {
		case <-n.closing:
			return
		case <-time.After(max(scanEvery, scanRest*time.Since(began))):
		}
	}
}

func (n *neighbors) scanTables() error {
	for _, family := range []int{unix.AF_BRIDGE, netlink.FAMILY_V4} {
		open := true
		err := links.EachNeighbor(n.ns, family, func(entry *netlink.Neigh) bool {
			select {
			case <-n.closing:
				open = false
			default:
				open = links.NeighStateOf(entry.State) != dataplane.NeighReachable || n.deliver(entry, dataplane.NeighStale)
			}
			return open
		})
		if err != nil || !open {
			return err
		}
	}
	return nil
}

// deliver sends a neighbour that is a client. False: closing.
func (n *neighbors) deliver(entry *netlink.Neigh, state dataplane.NeighState) bool {
	at := dataplane.Neighbor{State: state}
	if state == 0 || copy(at.MAC[:], entry.HardwareAddr) != len(at.MAC) {
		return true
	}
	var client bool
	if at.Account, client = n.table.Allowed(at.MAC); !client || !n.state.currentLinks().Locate(n.ifnames, entry, &at) {
		return true
	}
	select {
	case n.found <- at:
		return true
	case <-n.closing:
		return false
	}
}

// of returns the IPv4 addresses that the tables have of a client now.
func (n *neighbors) of(mac dataplane.MAC) ([]dataplane.Neighbor, error) {
	now := n.state.currentLinks()
	var found []dataplane.Neighbor
	err := links.EachNeighbor(n.ns, netlink.FAMILY_V4, func(entry *netlink.Neigh) bool {
		at := dataplane.Neighbor{State: dataplane.NeighStale}
		if copy(at.MAC[:], entry.HardwareAddr) != len(at.MAC) || at.MAC != mac || links.NudRank(entry.State) == 0 ||
			!now.Locate(n.ifnames, entry, &at) {
			return true
		}
		if links.NudRank(entry.State) > 1 {
			at.State = dataplane.NeighReachable
		}
		found = append(found, at)
		return true
	})
	if err != nil {
		return nil, err // the part of a table that was not read may have another device
	}
	return found, nil
}
