// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Dataplane is the enforcement in the kernel, opened. Its methods are safe for
// concurrent use, save Close, after which none may be called.
type Dataplane struct {
	opts  Options
	pins  pins
	lock  *os.File // of the pins
	space *space
	nl    *netlink.Handle
	state *state
	progs *programs
	hooks hooker

	grace *grace
	table *table

	seen struct { // what the watcher found and did last
		sync.Mutex
		view        *view
		attachments []attachment
		problem     string // with the router's own addresses
		looked      dataplane.Boottime
	}

	events    chan dataplane.Event
	exposed   chan dataplane.Unprotected
	ring      *ringbuf.Reader
	watcher   *watcher
	sightings chan dataplane.Neighbor
	neighbors *watcher // dirty when clients are to be looked for in the tables
	workers   sync.WaitGroup
	closing   chan struct{}
}

// Open adopts what is pinned below opts.BPFFS, or builds it, attaches the
// programs to the client-facing interfaces and starts to watch them. An interface
// that does not exist yet is waited for, with a warning; one that exists and
// cannot be attached to is an error.
//
// Only one process at a time can have a BPFFS open.
//
// Errors: ErrPermission, ErrUnsupported, or one that names the offending option.
// After an error what was enforced before, and what was attached by then, is
// enforced still.
func Open(opts Options) (*Dataplane, error) {
	opts, err := opts.normalized()
	if err != nil {
		return nil, err
	}
	d := &Dataplane{
		opts:      opts,
		pins:      pins{opts.BPFFS},
		events:    make(chan dataplane.Event, eventBacklog),
		exposed:   make(chan dataplane.Unprotected, exposureBacklog),
		sightings: make(chan dataplane.Neighbor, sightingBacklog),
		closing:   make(chan struct{}),
	}
	if err := d.build(); err != nil {
		d.release()
		return nil, err
	}
	// ---- Enforcement begins here: all above can fail without a trace on traffic. ----
	if err := d.enforce(); err != nil {
		d.release()
		return nil, err
	}
	d.start()
	return d, nil
}

// build makes or adopts everything that the programs need.
func (d *Dataplane) build() error {
	// Kernels before 5.11 charge maps to the locked memory of the process. Where
	// the limit may not be lifted, making the maps fails and explains itself.
	_ = rlimit.RemoveMemlock()
	if err := d.openNetwork(); err != nil {
		return err
	}
	if err := d.openPins(); err != nil {
		return err
	}
	if err := d.openPrograms(); err != nil {
		return err
	}
	if err := d.writeOpenServices(); err != nil {
		return err
	}
	if err := d.writeUplink(); err != nil {
		return err
	}
	if err := d.look(); err != nil {
		return err
	}
	return d.loadNeeded()
}

// loadNeeded loads what the interfaces that exist will need.
func (d *Dataplane) loadNeeded() error {
	v := d.currentView()
	for _, name := range d.opts.Interfaces {
		l := v.byName[name]
		if _, err := d.progs.get(variantOf(l != nil && v.bridge(l) != nil)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dataplane) openNetwork() (err error) {
	if d.space, err = openSpace(d.opts.NetNS); err != nil {
		return err
	}
	if d.nl, err = d.space.handle(); err != nil {
		return explain("netlink", err)
	}
	// Before the first look, so that no change can fall between the two.
	d.watcher, err = newWatcher(d.space, d.opts.Log,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_TC)
	if err != nil {
		return explain("netlink", err)
	}
	if d.neighbors, err = newWatcher(d.space, d.opts.Log, unix.RTNLGRP_NEIGH); err != nil {
		return explain("netlink", err)
	}
	return nil
}

func (d *Dataplane) openPins() (err error) {
	if err := ensureBPFFS(d.pins.root); err != nil {
		return err
	}
	if d.lock, err = d.pins.lock(); err != nil {
		return err
	}
	return d.pins.prepare()
}

func (d *Dataplane) openPrograms() error {
	spec, err := loadHotspot()
	if err != nil {
		return err
	}
	spec.Maps[hotspotMapClientIndex].MaxEntries = d.opts.MaxClients
	spec.Maps[hotspotMapClients].MaxEntries = d.opts.MaxClients
	spec.Maps[hotspotMapAccounts].MaxEntries = maxAccounts(d.opts.MaxClients)
	if d.state, err = openState(spec, d.pins, d.opts); err != nil {
		return err
	}
	if have := d.maxClients(); have != d.opts.MaxClients {
		d.opts.Log.Warn("max_clients takes effect after a detach or a reboot, the pinned table is kept",
			"max_clients", d.opts.MaxClients, "in_effect", have)
	}
	if d.grace, err = newGrace(); err != nil {
		return err
	}
	if d.table, err = openTable(d.state, d.grace); err != nil {
		return err
	}
	if err := d.table.refresh(); err != nil {
		return err
	}
	if d.progs, err = openPrograms(d.pins, d.state, d.opts.mode()); err != nil {
		return err
	}
	if d.ring, err = ringbuf.NewReader(d.state.Events); err != nil {
		return explain("opening the ring buffer", err)
	}
	d.hooks, err = newHooker(d.opts, d.pins, d.space)
	return err
}

// maxAccounts leaves room for accounts that are ended or paused and not settled yet.
func maxAccounts(maxClients uint32) uint32 { return 2*maxClients + 1024 }

func (d *Dataplane) maxClients() uint32 { return d.state.Clients.MaxEntries() }

// writeOpenServices makes the sets of what is open before paying those of the options.
func (d *Dataplane) writeOpenServices() error {
	portals := make(map[hotspotPortalKey]bool)
	for _, p := range d.opts.Portals {
		portals[portalToWire(p)] = true
	}
	if err := syncSet(d.state.Portals, portals); err != nil {
		return fmt.Errorf("portals: %w", err)
	}
	garden := make(map[hotspotPrefixKey]bool)
	for _, p := range d.opts.WalledGarden {
		garden[prefixToWire(p)] = true
	}
	if err := syncSet(d.state.WalledGarden, garden); err != nil {
		return fmt.Errorf("walled_garden: %w", err)
	}
	return nil
}

// enforce attaches, then lets go of what a former configuration or version left.
func (d *Dataplane) enforce() error {
	if err := d.attachAll(0); err != nil {
		return err
	}
	if err := d.releaseUnnamed(); err != nil {
		return err
	}
	if err := d.state.commit(d.pins); err != nil {
		return err
	}
	return prunePrograms(d.pins, d.opts.mode())
}

// start runs the goroutines that Close ends.
func (d *Dataplane) start() {
	d.workers.Go(func() { d.watcher.receive() })
	d.workers.Go(d.watch)
	d.workers.Go(d.readEvents)
	d.neighbors.mark()
	d.workers.Go(d.hearNeighbors)
	d.workers.Go(d.listNeighbors)
}

// Close stops watching and frees what this process holds. What is in the kernel
// stays: enforcement goes on, and the next Open adopts it.
func (d *Dataplane) Close() error {
	close(d.closing)
	d.watcher.close()
	d.neighbors.close()
	_ = d.ring.Close()
	d.workers.Wait()
	close(d.sightings)
	d.release()
	return nil
}

// release frees the handles; pins keep what they pin.
func (d *Dataplane) release() {
	if d.watcher != nil {
		d.watcher.close()
	}
	if d.neighbors != nil {
		d.neighbors.close()
	}
	if d.ring != nil {
		_ = d.ring.Close()
	}
	if d.hooks != nil {
		d.hooks.close()
	}
	if d.progs != nil {
		d.progs.close()
	}
	if d.table != nil {
		d.table.close()
	}
	if d.grace != nil {
		d.grace.close()
	}
	if d.state != nil {
		_ = d.state.Close()
	}
	if d.nl != nil {
		d.nl.Close()
	}
	if d.space != nil {
		d.space.close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// Epoch identifies this set of counters: random, made with the maps, the same
// for as long as they live.
func (d *Dataplane) Epoch() uint64 { return d.state.epoch }

// syncSet makes the keys of a set map those of want. New ones come first, so that
// nothing that stays open is shut for a moment.
func syncSet[K comparable](m *ebpf.Map, want map[K]bool) error {
	have := make(map[K]bool)
	var key K
	var mark uint8
	for it := m.Iterate(); it.Next(&key, &mark); {
		have[key] = true
	}
	for key := range want {
		if have[key] {
			continue
		}
		if err := m.Put(key, uint8(1)); err != nil {
			return fmt.Errorf("%d entries, room for %d: %w", len(want), m.MaxEntries(), err)
		}
	}
	for key := range have {
		if want[key] {
			continue
		}
		if err := deleteKey(m, key); err != nil {
			return err
		}
	}
	return nil
}
