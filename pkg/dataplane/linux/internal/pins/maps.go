// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// Maps is the pinned maps: what is enforced and what was counted.
type Maps struct {
	bpf.HotspotMaps
	ByName   map[string]*ebpf.Map // the same maps
	Limiter  dataplane.Limiter
	Epoch    uint64
	Adopted  bool // they were there: counters and rules of before live on
	NewFlows bool // but not the flows' queues
}

// MapOptions say which maps are wanted.
type MapOptions struct {
	Limiter   dataplane.Limiter
	AdoptOnly bool // maps of another version are left as they are
	Log       *slog.Logger
}

// OpenMaps adopts the pinned maps, or makes new ones when there are none or
// when this version cannot share them. New maps are pinned in pins.newMaps and
// take their place by commit. spec's sizes are set to those of the maps.
func OpenMaps(spec *ebpf.CollectionSpec, p Folder, o MapOptions) (*Maps, error) {
	found, err := AdoptMaps(spec, p.Maps())
	if err == nil && found != nil {
		return newPinnedMaps(spec, found, p.Maps(), o.Limiter, true)
	}
	if err != nil && o.AdoptOnly {
		return nil, fmt.Errorf("%w: %w", dataplane.ErrOtherVersion, err)
	}
	if err != nil {
		o.Log.Warn("pinned maps are of another version: starting with new ones, clients are let in again from the store",
			"bpffs", p.Root, "reason", err)
	}
	made, err := createMaps(spec, p.newMaps())
	if err != nil {
		return nil, err
	}
	return newPinnedMaps(spec, made, p.newMaps(), o.Limiter, false)
}

// newPinnedMaps adds the map of flows to the others, which are pinned in dir.
func newPinnedMaps(spec *ebpf.CollectionSpec, byName map[string]*ebpf.Map, dir string, l dataplane.Limiter, adopted bool) (*Maps, error) {
	flows, made, err := openFlows(spec, dir, l)
	if err != nil {
		CloseMaps(byName)
		return nil, err
	}
	byName[bpf.HotspotMapFlows] = flows
	s := &Maps{Adopted: adopted, NewFlows: made, Limiter: l, ByName: maps.Clone(byName)}
	if err := (&ebpf.Collection{Maps: byName}).Assign(&s.HotspotMaps); err != nil {
		CloseMaps(s.ByName)
		return nil, fmt.Errorf("maps: %w", err)
	}
	var meta bpf.HotspotMeta
	if err := s.Identity.Lookup(uint32(0), &meta); err != nil {
		_ = s.Close()
		return nil, kernel.Explain("reading the identity of the maps", err)
	}
	s.Epoch = meta.Epoch
	return s, nil
}

// Object reads what the programs are loaded from, with the sizes of these maps. It is
// not kept: parsed, it takes 700 KB.
func (s *Maps) Object() (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadHotspot()
	if err != nil {
		return nil, err
	}
	for name, m := range s.ByName {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	return spec, nil
}

// Commit makes new maps the ones that the next start adopts, and those before the
// past. It comes after the programs are attached: a crash before it only leads to
// another rebuild.
func (s *Maps) Commit(p Folder) error {
	if s.Adopted {
		return s.unpinUnused(p)
	}
	if err := p.retire(p, kernel.BootNow()); err != nil {
		return err
	}
	if err := os.Rename(p.newMaps(), p.Maps()); err != nil {
		return kernel.Explain("pinning the maps", err)
	}
	return nil
}

// AdoptMaps opens the pinned maps. It returns nil when there are none, and an
// error when they cannot serve this version's programs.
func AdoptMaps(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err := checkLayout(dir); err != nil {
		return nil, err
	}
	found := make(map[string]*ebpf.Map)
	sizes := make(map[string]uint32)
	for name, ms := range stateMaps(spec) {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err == nil {
			found[name] = m
			sizes[name] = m.MaxEntries()
			err = shareable(ms, m)
		}
		if err != nil {
			CloseMaps(found)
			return nil, fmt.Errorf("map %s: %w", name, err)
		}
	}
	for name, size := range sizes {
		spec.Maps[name].MaxEntries = size
	}
	return found, nil
}

// shareable compares all but the size, which the pinned map decides.
func shareable(ms *ebpf.MapSpec, m *ebpf.Map) error {
	ms = ms.Copy()
	ms.MaxEntries = m.MaxEntries()
	return ms.Compatible(m)
}

// checkLayout comes before all else: another layout has other maps.
func checkLayout(dir string) error {
	meta, err := readMeta(dir)
	if err != nil {
		return err
	}
	if meta.LayoutVersion != bpf.LayoutVersion {
		return fmt.Errorf("layout version %d, this agent's is %d", meta.LayoutVersion, bpf.LayoutVersion)
	}
	return nil
}

// readMeta reads the identity of the maps that are pinned in dir, of any layout.
func readMeta(dir string) (meta bpf.HotspotMeta, err error) {
	identity, err := ebpf.LoadPinnedMap(filepath.Join(dir, bpf.HotspotMapIdentity), nil)
	if err != nil {
		return meta, fmt.Errorf("map %s: %w", bpf.HotspotMapIdentity, err)
	}
	defer func() { _ = identity.Close() }()
	if err := identity.Lookup(uint32(0), &meta); err != nil {
		return meta, fmt.Errorf("map %s: %w", bpf.HotspotMapIdentity, err)
	}
	return meta, nil
}

// createMaps makes the maps, gives them an identity and pins them in dir.
func createMaps(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, kernel.Explain("bpffs", err)
	}
	made := make(map[string]*ebpf.Map)
	for name, ms := range stateMaps(spec) {
		m, err := ebpf.NewMap(ms)
		if err == nil {
			made[name] = m
			err = m.Pin(filepath.Join(dir, name))
		}
		if err != nil {
			CloseMaps(made)
			return nil, kernel.Explain("making map "+name, err)
		}
	}
	meta := bpf.HotspotMeta{LayoutVersion: bpf.LayoutVersion, Epoch: NewEpoch()}
	if err := made[bpf.HotspotMapIdentity].Put(uint32(0), &meta); err != nil {
		CloseMaps(made)
		return nil, kernel.Explain("writing the identity of the maps", err)
	}
	return made, nil
}

// stateMaps are the maps of spec that every start needs: all but the programs' own
// sections (.rodata), and flows.
func stateMaps(spec *ebpf.CollectionSpec) map[string]*ebpf.MapSpec {
	specs := make(map[string]*ebpf.MapSpec)
	for name, ms := range spec.Maps {
		if !strings.HasPrefix(name, ".") && name != bpf.HotspotMapFlows {
			specs[name] = ms
		}
	}
	return specs
}

// CloseMaps closes maps. Those that are pinned stay.
func CloseMaps(byName map[string]*ebpf.Map) {
	for _, m := range byName {
		_ = m.Close()
	}
}

// NewEpoch is random and never 0.
func NewEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return binary.NativeEndian.Uint64(b[:]) | 1
}

// openFlows opens the map of the flows' queues that is pinned in dir, or makes it.
// A limiter that has no such queues gets a map of one entry, unpinned, because the
// programs name one. What is in the queues is worth less than a second of traffic:
// a map that does not suit is replaced.
func openFlows(spec *ebpf.CollectionSpec, dir string, l dataplane.Limiter) (m *ebpf.Map, made bool, err error) {
	ms := spec.Maps[bpf.HotspotMapFlows]
	if l != dataplane.Fair {
		ms.MaxEntries = 1
		m, err = newMap(ms)
		return m, false, err
	}
	ms.MaxEntries = maxQueues(spec.Maps[bpf.HotspotMapClients].MaxEntries)
	pin := filepath.Join(dir, bpf.HotspotMapFlows)
	if m, err = ebpf.LoadPinnedMap(pin, nil); err == nil {
		if ms.Compatible(m) == nil {
			return m, false, nil
		}
		_ = m.Close()
	}
	if m, err = newMap(ms); err != nil {
		return nil, false, err
	}
	if err := ReplacePin(m, pin); err != nil {
		_ = m.Close()
		return nil, false, kernel.Explain("pinning map "+bpf.HotspotMapFlows, err)
	}
	return m, true, nil
}

// maxQueues leaves room for accounts that take another's place before the packets of
// that one are through.
func maxQueues(maxClients uint32) uint32 { return maxClients + maxClients/16 + 16 }

func newMap(ms *ebpf.MapSpec) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(ms)
	if err != nil {
		return nil, kernel.Explain("making map "+ms.Name, err)
	}
	return m, nil
}

// unpinUnused lets go of the queues that another limiter left.
func (s *Maps) unpinUnused(p Folder) error {
	if s.Limiter == dataplane.Fair {
		return nil
	}
	err := os.Remove(filepath.Join(p.Maps(), bpf.HotspotMapFlows))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}
