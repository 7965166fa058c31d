// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

func TestAdoptKeepsRulesAndCounters(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		d := b.open(opts)
		check(t, d.Grant(phone, allow))
		b.count(allow.Account, 1500)
		before, err := d.Read(allow.Account)
		check(t, err)
		programs := b.programIDs("lan", d.interfaces.attacher.Mode())
		check(t, d.Close())

		d = b.open(opts)
		after, err := d.Read(allow.Account)
		check(t, err)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("counters changed over a restart (-before +after):\n%s", diff)
		}
		if after.Counters.Spent() != 1500 {
			t.Errorf("spent = %d, want 1500", after.Counters.Spent())
		}
		rules := maps.Collect(d.Rules())
		if diff := cmp.Diff(map[dataplane.MAC]dataplane.Rule{phone: allow}, rules); diff != "" {
			t.Errorf("rules after a restart (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(programs, b.programIDs("lan", d.interfaces.attacher.Mode())); diff != "" {
			t.Errorf("the same programs were not adopted (-before +after):\n%s", diff)
		}
		if !b.log.has("adopted") {
			t.Error("the log does not say that the interface was adopted")
		}
	})
}

// count writes a count as if the programs had.
func (b *box) count(account dataplane.Account, bytes uint64) {
	b.t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(b.bpffs, "maps", bpf.HotspotMapAccounts), nil)
	check(b.t, err)
	defer func() { _ = m.Close() }()
	accounts, err := tables.Mmap[bpf.HotspotAccount](m)
	check(b.t, err)
	defer accounts.Close()
	for i := range accounts.At {
		if u := &accounts.At[i]; u.Id == uint64(account) {
			u.Counter[bpf.Download].Bytes = bytes
			return
		}
	}
	b.t.Fatalf("account %d is not in the kernel", account)
}

// programIDs are the ids of our programs on the hooks of an interface.
func (b *box) programIDs(ifname string, mode dataplane.AttachMode) (ids [bpf.Directions]ebpf.ProgramID) {
	b.t.Helper()
	for dir := range ids {
		if mode == dataplane.TCX {
			ids[dir] = b.linkInfo(attach.LinkPin(ifname, dir)).Program
		} else if f := ownFilter(b.filters(ifname, dir)); f != nil {
			ids[dir] = ebpf.ProgramID(f.Id)
		}
		if ids[dir] == 0 {
			b.t.Fatalf("no program of ours on %s %s", ifname, attach.HookNames[dir])
		}
	}
	return ids
}

// Another version's programs are replaced on their hooks without a gap: the
// links, or the filters, stay.
func TestUpgradeReplacesProgramsInPlace(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		d := b.open(opts)
		check(t, d.Grant(phone, allow))
		links, programs := b.linkIDs(), b.programIDs("lan", d.interfaces.attacher.Mode())
		check(t, d.Close())
		b.renamePrograms()

		d = b.open(opts)
		if diff := cmp.Diff(links, b.linkIDs()); diff != "" {
			t.Errorf("links were not kept (-before +after):\n%s", diff)
		}
		for dir, id := range b.programIDs("lan", d.interfaces.attacher.Mode()) {
			if id == programs[dir] {
				t.Errorf("%s still runs the old program", attach.HookNames[dir])
			}
		}
		rules := maps.Collect(d.Rules())
		if len(rules) != 1 {
			t.Errorf("rules after an upgrade: %v", rules)
		}
		if !b.log.has("replaced in place") {
			t.Error("the upgrade is not logged")
		}
		if left := b.programPins(); len(left) != bpf.Directions {
			t.Errorf("pinned programs after an upgrade: %v", left)
		}
	})
}

// renamePrograms makes the pinned programs those of another version.
func (b *box) renamePrograms() {
	b.t.Helper()
	dir := pins.Folder{Root: b.bpffs}.Programs()
	for i, name := range b.programPins() {
		check(b.t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, "other-"+string(rune('a'+i)))))
	}
}

func (b *box) programPins() []string {
	b.t.Helper()
	list, err := pins.Names(pins.Folder{Root: b.bpffs}.Programs())
	check(b.t, err)
	return list
}

func TestAnotherLayoutIsReplaced(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan")
		d := b.open(opts)
		check(t, d.Grant(phone, allow))
		epoch := d.maps.Epoch
		check(t, d.maps.Identity.Put(uint32(0), &bpf.HotspotMeta{LayoutVersion: bpf.LayoutVersion + 1, Epoch: epoch}))
		links := b.linkIDs()
		check(t, d.Close())

		d = b.open(opts)
		if d.maps.Epoch == epoch {
			t.Error("new maps have the old epoch")
		}
		if rules := maps.Collect(d.Rules()); len(rules) != 0 {
			t.Errorf("rules in new maps: %v", rules)
		}
		if diff := cmp.Diff(links, b.linkIDs()); diff != "" {
			t.Errorf("links were not kept (-before +after):\n%s", diff)
		}
		b.usesMaps("lan", d)
		if !b.log.has("layout version") {
			t.Error("the log does not say why the maps were replaced")
		}
		epoch = d.maps.Epoch
		check(t, d.Close())
		if d = b.open(opts); d.maps.Epoch != epoch {
			t.Error("the new maps were not adopted by the next start")
		}
	})
}

// usesMaps checks that what is attached works on the maps that d reads and writes.
func (b *box) usesMaps(ifname string, d *Dataplane) {
	b.t.Helper()
	info, err := d.maps.Clients.Info()
	check(b.t, err)
	rules, _ := info.ID()
	for dir, id := range b.programIDs(ifname, d.interfaces.attacher.Mode()) {
		prog, err := ebpf.NewProgramFromID(id)
		check(b.t, err)
		info, err := prog.Info()
		check(b.t, err)
		if used, _ := info.MapIDs(); !slices.Contains(used, rules) {
			b.t.Errorf("%s works on other maps", attach.HookNames[dir])
		}
		_ = prog.Close()
	}
}

func TestMissingMapRebuilds(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	epoch := d.maps.Epoch
	check(t, d.Close())
	check(t, os.Remove(filepath.Join(b.bpffs, "maps", bpf.HotspotMapAccounts)))
	d = b.open(b.options("lan"))
	if d.maps.Epoch == epoch {
		t.Error("counters are gone, the epoch is not")
	}
	b.usesMaps("lan", d)
}

func TestPinnedSizeStays(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	check(t, b.open(opts).Close())
	opts.MaxClients = 99
	d := b.open(opts)
	if got := d.Status().MaxClients; got != 16 {
		t.Errorf("max clients = %d, want the pinned 16", got)
	}
	if !b.log.has("after a detach or a reboot") {
		t.Error("the log does not say when max_clients takes effect")
	}
}

// An interface that the configuration no longer names is let go.
func TestUnnamedInterfaceIsReleased(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		b.veth("guest.7")
		opts := b.options("lan", "guest.7")
		check(t, b.open(opts).Close())
		opts.Interfaces = []string{"lan"}
		d := b.open(opts)
		if got := b.held(d); !slices.Equal(got, []string{"lan"}) {
			t.Errorf("held interfaces: %v", got)
		}
		for dir := range bpf.Directions {
			if f := b.filters("guest.7", dir); len(f) != 0 {
				t.Errorf("filters left on guest.7: %v", f)
			}
		}
	})
}

func TestOpenServicesFollowTheOptions(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.Garden = gardenOf("192.0.2.0/24", "2001:db8::/32", "pay.example", "*.bank.example")
	opts.Portals = []dataplane.Portal{{Port: 80, Protocol: "tcp"}}
	first := b.open(opts)
	learnt := bpf.AddrToWire(netip.MustParseAddr(named4))
	until := bpf.HotspotGardenAddr{UntilS: math.MaxUint32}
	check(t, first.maps.GardenAddrs.Put(learnt, until))
	check(t, first.Close())
	opts.Garden = gardenOf("2001:db8::/32", "198.51.100.7/32", "pay.example", "*.bank.example", "shop.example")
	second := b.open(opts)
	if got, err := second.Garden(); err != nil || len(got.Addresses) != 1 {
		t.Errorf("addresses of names that stay: %v, %v", got.Addresses, err)
	}
	check(t, second.Close())
	opts.Garden = gardenOf("2001:db8::/32", "198.51.100.7/32", "*.bank.example", "shop.example")
	opts.Portals = []dataplane.Portal{{Port: 443, Protocol: "tcp"}, {Port: 443, Protocol: "udp"}}
	d := b.open(opts)

	want := make(map[bpf.HotspotPrefixKey]bool)
	for _, p := range opts.Garden.Networks() {
		want[bpf.PrefixToWire(p)] = true
	}
	if diff := cmp.Diff(want, setOf[bpf.HotspotPrefixKey](t, d.maps.WalledGarden)); diff != "" {
		t.Errorf("walled garden (-want +got):\n%s", diff)
	}
	names := []dataplane.GardenName{}
	for key := range setOf[bpf.HotspotNameKey](t, d.maps.GardenNames) {
		names = append(names, bpf.NameFromWire(key))
	}
	slices.Sort(names)
	if diff := cmp.Diff(opts.Garden.Names(), names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if got, err := d.Garden(); err != nil || len(got.Addresses) != 0 {
		t.Errorf("addresses after a name was taken out: %v, %v", got.Addresses, err)
	}
	if got := setOf[bpf.HotspotPortalKey](t, d.maps.Portals); len(got) != 2 {
		t.Errorf("portals: %v", slices.Collect(maps.Keys(got)))
	}
}

func gardenOf(entries ...string) dataplane.Garden {
	g := dataplane.Garden{Ports: []uint16{443}}
	for _, text := range entries {
		e, err := dataplane.ParseGardenEntry(text)
		if err != nil {
			panic(err) // a fault of the test
		}
		g.Entries = append(g.Entries, e)
	}
	return g
}

func setOf[K comparable](t *testing.T, m *ebpf.Map) map[K]bool {
	t.Helper()
	set := make(map[K]bool)
	var key K
	var mark uint8
	it := m.Iterate()
	for it.Next(&key, &mark) {
		set[key] = true
	}
	check(t, it.Err())
	return set
}

func TestDetachLeavesNothing(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan", "absent")
		check(t, b.open(opts).Close())
		for range 2 { // the second finds nothing
			check(t, detachIn(b.bpffs, b.NetNS()))
			if _, err := os.Stat(b.bpffs); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still there: %v", b.bpffs, err)
			}
			if q := b.clsactQdiscs("lan"); q != 0 {
				t.Errorf("%d clsact qdiscs left", q)
			}
		}
	})
}

// A folder that never was ours keeps its files, whatever their names.
func TestDetachOfAnotherFolder(t *testing.T) {
	b := newBox(t)
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "maps", "treasure"), 0o700))
	check(t, detachIn(dir, b.NetNS()))
	if _, err := os.Stat(filepath.Join(dir, "maps", "treasure")); err != nil {
		t.Error(err)
	}
	if err := Detach("maps"); err == nil {
		t.Error("Detach of a relative path succeeded")
	}
}

// A folder on no bpffs gets one of its own, which goes with Detach.
func TestOwnMount(t *testing.T) {
	b := newBox(t)
	b.bpffs = filepath.Join(t.TempDir(), "pins")
	b.veth("lan")
	d := b.open(b.options("lan"))
	if !pins.OnBPFFS(b.bpffs) || !pins.OwnMount(b.bpffs) {
		t.Fatal("no bpffs was mounted")
	}
	check(t, d.Close())
	check(t, detachIn(b.bpffs, b.NetNS()))
	if _, err := os.Stat(b.bpffs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestOneAgentAtATime(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	if second, err := Open(b.options("lan")); err == nil {
		closeOnce(t, second)
		t.Error("a second Open of the same pins succeeded")
	} else if !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second Open: %v", err)
	}
	if err := detachIn(b.bpffs, b.NetNS()); err == nil {
		t.Error("Detach under a running agent succeeded")
	}
	if !d.attachedTo(t, "lan") {
		t.Error("the first agent was disturbed")
	}
}
