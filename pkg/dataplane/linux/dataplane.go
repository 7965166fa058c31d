// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/forwarding"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// Dataplane is the enforcement in the kernel, opened. Its methods are safe for
// concurrent use, save Close, after which none may be called.
type Dataplane struct {
	opts Options
	pins pins.Folder
	lock *os.File // of the pins
	ns   *links.NetNS
	nl   *netlink.Handle
	maps *pins.Maps

	grace *tables.RCU
	table *tables.Table

	state  state // what watch found last
	watch  watch
	beside surroundings
	gardenWatch
	interfaces interfaces
	neighbors  neighbors

	events  chan dataplane.Event // that end accounts
	ring    *ringbuf.Reader
	workers sync.WaitGroup
	closing chan struct{}
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
	opts, err := opts.Normalized()
	if err != nil {
		return nil, err
	}
	d := &Dataplane{
		opts:    opts,
		pins:    pins.Folder{Root: opts.BPFFS},
		events:  make(chan dataplane.Event, eventBacklog),
		closing: make(chan struct{}),
		state:   state{checked: opts.Checked},
	}
	if err := d.build(); err != nil {
		d.release()
		return nil, err
	}
	former := takeover{own: d.pins, ns: d.ns, names: opts.Interfaces, log: opts.Log}
	defer former.close()
	if err := former.find(d.state.currentLinks()); err != nil {
		d.release()
		return nil, err
	}
	// ---- Enforcement begins here: all above can fail without a trace on traffic. ----
	if err := d.enforce(&former); err != nil {
		d.release()
		return nil, err
	}
	d.start()
	return d, nil
}

// build makes or adopts everything that the programs need.
func (d *Dataplane) build() (err error) {
	if err := d.openNetwork(); err != nil {
		return err
	}
	if d.lock, err = openPins(d.pins); err != nil {
		return err
	}
	if err := d.openKernelState(); err != nil {
		return err
	}
	if err := writeOpenServices(d.maps, d.opts.Portals, d.opts.Garden.Networks()); err != nil {
		return err
	}
	if err := writeUplink(d.maps, d.opts.Uplink); err != nil {
		return err
	}
	if err := loadCaptive(d.maps, d.opts.Captive, d.opts.Garden); err != nil {
		return err
	}
	if err := loadGarden(d.maps, d.opts.Garden.Names()); err != nil {
		return err
	}
	if err := d.openWatch(); err != nil {
		return err
	}
	if err := d.watch.refresh(links.Changes{All: true}); err != nil {
		return err
	}
	if err := forwarding.RefuseStacks(d.state.currentLinks(), d.opts.Interfaces); err != nil {
		return err
	}
	return d.interfaces.loadNeeded(d.state.currentLinks())
}

func (d *Dataplane) openNetwork() (err error) {
	if d.ns, err = links.OpenNetNS(d.opts.NetNS); err != nil {
		return err
	}
	if d.nl, err = d.ns.Handle(); err != nil {
		return kernel.Explain("netlink", err)
	}
	// Before the first snapshot, so that no change can fall between the two.
	d.watch.watcher, err = links.NewWatcher(d.ns, d.opts.Log,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_TC)
	if err != nil {
		return kernel.Explain("netlink", err)
	}
	if d.neighbors.watcher, err = links.NewWatcher(d.ns, d.opts.Log, unix.RTNLGRP_NEIGH); err != nil {
		return kernel.Explain("netlink", err)
	}
	d.beside.changes, err = forwarding.WatchChanges(d.ns)
	return err
}

// openPins returns the lock of the folder, with an error too where it has it already.
func openPins(p pins.Folder) (lock *os.File, err error) {
	if err := pins.EnsureBPFFS(p.Root); err != nil {
		return nil, err
	}
	if lock, err = p.Lock(); err != nil {
		return nil, err
	}
	return lock, p.Prepare()
}

func (d *Dataplane) openKernelState() error {
	spec, err := bpf.LoadHotspot()
	if err != nil {
		return err
	}
	spec.Maps[bpf.HotspotMapClientIndex].MaxEntries = d.opts.MaxClients
	spec.Maps[bpf.HotspotMapClients].MaxEntries = d.opts.MaxClients
	spec.Maps[bpf.HotspotMapClientDns].MaxEntries = d.opts.MaxClients
	spec.Maps[bpf.HotspotMapAccounts].MaxEntries = maxAccounts(d.opts.MaxClients)
	if d.maps, err = pins.OpenMaps(spec, d.pins, pins.MapOptions{Limiter: d.opts.Limiter, AdoptOnly: d.opts.AdoptOnly, Log: d.opts.Log}); err != nil {
		return err
	}
	if have := d.maps.Clients.MaxEntries(); have != d.opts.MaxClients {
		d.opts.Log.Warn("max_clients takes effect after a detach or a reboot, the pinned table is kept",
			"max_clients", d.opts.MaxClients, "in_effect", have)
	}
	if d.grace, err = tables.NewRCU(); err != nil {
		return err
	}
	if d.table, err = tables.OpenTable(d.maps, d.grace); err != nil {
		return err
	}
	if err := d.table.Refresh(); err != nil {
		return err
	}
	if d.ring, err = ringbuf.NewReader(d.maps.Events); err != nil {
		return kernel.Explain("opening the ring buffer", err)
	}
	return nil
}

// openWatch makes what attaches, watches and delivers, over what is open.
func (d *Dataplane) openWatch() (err error) {
	d.interfaces = interfaces{
		names: d.opts.Interfaces, nl: d.nl, state: &d.state, log: d.opts.Log,
		unprotected: make(chan dataplane.Unprotected, unprotectedBacklog),
	}
	if d.interfaces.programs, err = attach.OpenPrograms(d.pins, d.maps, d.opts.ProgramConfig()); err != nil {
		return err
	}
	if d.interfaces.attacher, err = attach.New(d.opts.Attach, d.pins, d.ns); err != nil {
		return err
	}
	d.watch.snapshot = func(before *links.Snapshot, c links.Changes) (*links.Snapshot, error) {
		return d.opts.snapshot(before, d.nl, c)
	}
	d.watch.router = router{maps: d.maps, ifnames: d.opts.Interfaces, behind: d.state.currentBehind, log: d.opts.Log}
	d.watch.interfaces, d.watch.state, d.watch.log = &d.interfaces, &d.state, d.opts.Log
	d.beside.checker = forwarding.Checker{NS: d.ns, NL: d.nl, Names: d.opts.Interfaces}
	d.beside.state, d.beside.maps, d.beside.portals, d.beside.changed = &d.state, d.maps, d.opts.Portals, d.watch.watcher.MarkDirty
	d.beside.due = make(chan struct{}, 1)
	d.watch.beside = &d.beside
	d.gardenWatch = gardenWatch{options: d.opts.Garden, maps: d.maps, state: &d.state}
	d.neighbors = neighbors{
		ifnames: d.opts.Interfaces, ns: d.ns, table: d.table, state: &d.state, watcher: d.neighbors.watcher,
		log: d.opts.Log, found: make(chan dataplane.Neighbor, neighborBacklog), closing: d.closing,
	}
	return nil
}

// maxAccounts leaves room for accounts that are ended or paused and not settled yet.
func maxAccounts(maxClients uint32) uint32 { return 2*maxClients + 1024 }

// enforce attaches, then lets go of what a former configuration or version left.
func (d *Dataplane) enforce(former *takeover) error {
	if err := d.interfaces.attachAll(d.state.currentLinks()); err != nil {
		return err
	}
	if len(former.folders) > 0 {
		if err := former.finish(d.state.currentLinks()); err != nil {
			return err
		}
		_ = d.interfaces.attachAll(d.state.currentLinks()) // what was in the way is not any more
	}
	if err := d.interfaces.releaseUnnamed(d.state.currentLinks()); err != nil {
		return err
	}
	if err := d.maps.Commit(d.pins); err != nil {
		return err
	}
	return attach.PrunePrograms(d.pins, d.opts.ProgramConfig())
}

// start runs the goroutines that Close ends.
func (d *Dataplane) start() {
	d.workers.Go(d.watch.watcher.Receive)
	d.workers.Go(func() { d.watch.run(d.closing) })
	d.beside.check()
	d.workers.Go(func() { d.beside.run(d.closing) })
	if len(d.opts.Garden.Names()) > 0 {
		d.workers.Go(func() { d.watchGarden(d.closing) })
	}
	d.workers.Go(func() { readEvents(d.ring, d.events, d.opts.Answered, d.closing, d.opts.Log) })
	d.neighbors.watcher.MarkDirty()
	d.workers.Go(d.neighbors.receive)
	d.workers.Go(d.neighbors.scan)
}

// Close stops watching and frees what this process holds. What is in the kernel
// stays: enforcement continues, and the next Open adopts it.
func (d *Dataplane) Close() error {
	close(d.closing)
	d.watch.watcher.Close()
	d.neighbors.watcher.Close()
	_ = d.ring.Close()
	d.workers.Wait()
	close(d.neighbors.found)
	d.release()
	return nil
}

// release frees the handles; pins keep what they pin.
func (d *Dataplane) release() {
	if d.watch.watcher != nil {
		d.watch.watcher.Close()
	}
	if d.neighbors.watcher != nil {
		d.neighbors.watcher.Close()
	}
	if d.beside.changes != nil {
		d.beside.changes.Close()
	}
	if d.ring != nil {
		_ = d.ring.Close()
	}
	if d.interfaces.attacher != nil {
		d.interfaces.attacher.Close()
	}
	if d.interfaces.programs != nil {
		d.interfaces.programs.Close()
	}
	if d.table != nil {
		d.table.Close()
	}
	if d.grace != nil {
		d.grace.Close()
	}
	if d.maps != nil {
		_ = d.maps.Close()
	}
	if d.nl != nil {
		d.nl.Close()
	}
	if d.ns != nil {
		d.ns.Close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// Unprotected delivers when a client-facing interface begins to be up without both
// programs, and when that ends. What is not received in time is dropped; it is in the log
// and in Status all the same.
func (d *Dataplane) Unprotected() <-chan dataplane.Unprotected { return d.interfaces.unprotected }

// Neighbors delivers where clients with a rule are: as the kernel's neighbour tables and
// bridges report it, and once from what they have when a client gets its rule. IPv6
// addresses are left out: hosts change them as they like. Some may be lost in a flood.
// Close closes it.
func (d *Dataplane) Neighbors() <-chan dataplane.Neighbor { return d.neighbors.found }

// NeighborsOf returns the IPv4 addresses that the neighbour tables have of a client now,
// NeighReachable or NeighStale. It reads them by netlink.
func (d *Dataplane) NeighborsOf(mac dataplane.MAC) ([]dataplane.Neighbor, error) {
	return d.neighbors.of(mac)
}

// HoldersOf returns the clients that have an address, from the kernel's neighbour tables
// of the client-facing interfaces (of bridge ports: of their bridge): at least one, or
// ErrNoNeighbor. Several are clients of several interfaces that both answer there, or
// none of which does; to find out takes up to a second. ifname, if not empty, is the only
// interface that counts; ErrNoInterface when it is none of these.
func (d *Dataplane) HoldersOf(ip netip.Addr, ifname string) ([]dataplane.Holder, error) {
	return d.neighbors.holders(d.nl, ip.WithZone("").Unmap(), ifname)
}

// RouterMACs returns the addresses of the client-facing interfaces and of their
// bridges: no customer's.
func (d *Dataplane) RouterMACs() []dataplane.MAC {
	return links.UniqueMACs(d.state.currentLinks().ClientLinks(d.opts.Interfaces))
}

// unprotectedBacklog is more than a reader that works ever leaves.
const unprotectedBacklog = 64

func writePortals(maps *pins.Maps, services []dataplane.Portal) error {
	portals := make(map[bpf.HotspotPortalKey]bool)
	for _, p := range services {
		portals[bpf.PortalToWire(p)] = true
	}
	if err := bpf.SyncSet(maps.Portals, portals); err != nil {
		return fmt.Errorf("portals: %w", err)
	}
	return nil
}

// writeOpenServices makes the sets of what is open before paying those of the options.
func writeOpenServices(maps *pins.Maps, services []dataplane.Portal, networks []netip.Prefix) error {
	if err := writePortals(maps, services); err != nil {
		return err
	}
	garden := make(map[bpf.HotspotPrefixKey]bool)
	for _, p := range networks {
		garden[bpf.PrefixToWire(p)] = true
	}
	if err := bpf.SyncSet(maps.WalledGarden, garden); err != nil {
		return fmt.Errorf("walled_garden: %w", err)
	}
	return nil
}
