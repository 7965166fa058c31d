// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// state is the pinned maps: what is enforced and what was counted.
type pinnedMaps struct {
	hotspotMaps
	byName   map[string]*ebpf.Map // the same maps
	limiter  dataplane.Limiter
	epoch    uint64
	adopted  bool // they were there: counters and rules of before live on
	newFlows bool // but not the flows' queues
}

// openState adopts the pinned maps, or makes new ones when there are none or
// when this version cannot share them. New maps are pinned in pins.newMaps and
// take their place by commit. spec's sizes are set to those of the maps.
func openPinnedMaps(spec *ebpf.CollectionSpec, p pins, opts Options) (*pinnedMaps, error) {
	found, err := adoptMaps(spec, p.maps())
	if err == nil && found != nil {
		return newPinnedMaps(spec, found, p.maps(), opts.Limiter, true)
	}
	if err != nil && opts.AdoptOnly {
		return nil, fmt.Errorf("%w: %w", dataplane.ErrOtherVersion, err)
	}
	if err != nil {
		opts.Log.Warn("pinned maps are of another version: starting with new ones, clients are let in again from the store",
			"bpffs", p.root, "reason", err)
	}
	made, err := createMaps(spec, p.newMaps())
	if err != nil {
		return nil, err
	}
	return newPinnedMaps(spec, made, p.newMaps(), opts.Limiter, false)
}

// newState adds the map of flows to the others, which are pinned in dir.
func newPinnedMaps(spec *ebpf.CollectionSpec, byName map[string]*ebpf.Map, dir string, l dataplane.Limiter, adopted bool) (*pinnedMaps, error) {
	flows, made, err := openFlows(spec, dir, l)
	if err != nil {
		closeMaps(byName)
		return nil, err
	}
	byName[hotspotMapFlows] = flows
	s := &pinnedMaps{adopted: adopted, newFlows: made, limiter: l, byName: maps.Clone(byName)}
	if err := (&ebpf.Collection{Maps: byName}).Assign(&s.hotspotMaps); err != nil {
		closeMaps(s.byName)
		return nil, fmt.Errorf("maps: %w", err)
	}
	var meta hotspotMeta
	if err := s.Identity.Lookup(uint32(0), &meta); err != nil {
		_ = s.Close()
		return nil, explain("reading the identity of the maps", err)
	}
	s.epoch = meta.Epoch
	return s, nil
}

// object reads what the programs are loaded from, with the sizes of these maps. It is
// not kept: parsed, it takes 700 KB.
func (s *pinnedMaps) object() (*ebpf.CollectionSpec, error) {
	spec, err := loadHotspot()
	if err != nil {
		return nil, err
	}
	for name, m := range s.byName {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	return spec, nil
}

// commit makes new maps the ones that the next start adopts, and those before the
// past. It comes after the programs are attached: a crash before it only leads to
// another rebuild.
func (s *pinnedMaps) commit(p pins) error {
	if s.adopted {
		return s.unpinUnused(p)
	}
	if err := p.retireMaps(BootNow()); err != nil {
		return err
	}
	if err := os.Rename(p.newMaps(), p.maps()); err != nil {
		return explain("pinning the maps", err)
	}
	return nil
}

// adoptMaps opens the pinned maps. It returns nil when there are none, and an
// error when they cannot serve this version's programs.
func adoptMaps(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, error) {
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
			closeMaps(found)
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
	if meta.LayoutVersion != layoutVersion {
		return fmt.Errorf("layout version %d, this agent's is %d", meta.LayoutVersion, layoutVersion)
	}
	return nil
}

// readMeta reads the identity of the maps that are pinned in dir, of any layout.
func readMeta(dir string) (meta hotspotMeta, err error) {
	identity, err := ebpf.LoadPinnedMap(filepath.Join(dir, hotspotMapIdentity), nil)
	if err != nil {
		return meta, fmt.Errorf("map %s: %w", hotspotMapIdentity, err)
	}
	defer func() { _ = identity.Close() }()
	if err := identity.Lookup(uint32(0), &meta); err != nil {
		return meta, fmt.Errorf("map %s: %w", hotspotMapIdentity, err)
	}
	return meta, nil
}

// createMaps makes the maps, gives them an identity and pins them in dir.
func createMaps(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain("bpffs", err)
	}
	made := make(map[string]*ebpf.Map)
	for name, ms := range stateMaps(spec) {
		m, err := ebpf.NewMap(ms)
		if err == nil {
			made[name] = m
			err = m.Pin(filepath.Join(dir, name))
		}
		if err != nil {
			closeMaps(made)
			return nil, explain("making map "+name, err)
		}
	}
	meta := hotspotMeta{LayoutVersion: layoutVersion, Epoch: newEpoch()}
	if err := made[hotspotMapIdentity].Put(uint32(0), &meta); err != nil {
		closeMaps(made)
		return nil, explain("writing the identity of the maps", err)
	}
	return made, nil
}

// stateMaps are the maps of spec that every start needs: all but the programs' own
// sections (.rodata), and flows.
func stateMaps(spec *ebpf.CollectionSpec) map[string]*ebpf.MapSpec {
	specs := make(map[string]*ebpf.MapSpec)
	for name, ms := range spec.Maps {
		if !strings.HasPrefix(name, ".") && name != hotspotMapFlows {
			specs[name] = ms
		}
	}
	return specs
}

func closeMaps(byName map[string]*ebpf.Map) {
	for _, m := range byName {
		_ = m.Close()
	}
}

// newEpoch is random and never 0.
func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return binary.NativeEndian.Uint64(b[:]) | 1
}
