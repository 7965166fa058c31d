// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// loadCaptive puts the programs that have the last word on what may not pass in their places,
// or clears these. The pins of the maps keep them: devices are answered while no agent runs.
func loadCaptive(maps *pins.Maps, c dataplane.Captive, g dataplane.Garden) error {
	if c.Redirect == "" && len(g.Names()) == 0 {
		return errors.Join(clearProgram(maps.CaptiveIngress), clearProgram(maps.CaptiveEgress))
	}
	programs, err := newCaptive(maps.ByName, c, g, maps.Epoch, bpf.CaptiveNews)
	if err != nil {
		return err
	}
	defer func() { _ = programs.Close() }()
	if err := errors.Join(maps.CaptiveIngress.Put(uint32(0), programs.CaptiveFromClient),
		maps.CaptiveEgress.Put(uint32(0), programs.CaptiveToClient)); err != nil {
		return kernel.Explain("entering the captive programs", err)
	}
	return nil
}

// newCaptive loads these programs, over the maps that they share with the others.
func newCaptive(byName map[string]*ebpf.Map, c dataplane.Captive, g dataplane.Garden, epoch uint64, news time.Duration) (*bpf.CaptivePrograms, error) {
	spec, err := bpf.LoadCaptive()
	if err != nil {
		return nil, err
	}
	if err := bpf.SetCaptiveConstants(spec, c, epoch, news); err != nil {
		return nil, err
	}
	if err := bpf.SetGardenConstants(spec, g); err != nil {
		return nil, err
	}
	programs := new(bpf.CaptivePrograms)
	if err := spec.LoadAndAssign(programs, &ebpf.CollectionOptions{MapReplacements: shareMaps(spec, byName)}); err != nil {
		return nil, kernel.Explain("loading the captive programs", err)
	}
	return programs, nil
}

// shareMaps returns the maps that an object has in common with the others, and sets its sizes
// to theirs.
func shareMaps(spec *ebpf.CollectionSpec, byName map[string]*ebpf.Map) map[string]*ebpf.Map {
	shared := make(map[string]*ebpf.Map)
	for name, m := range byName {
		if spec.Maps[name] != nil {
			spec.Maps[name].MaxEntries = m.MaxEntries()
			shared[name] = m
		}
	}
	return shared
}

func clearProgram(m *ebpf.Map) error {
	if err := m.Delete(uint32(0)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return kernel.Explain("clearing "+m.String(), err)
	}
	return nil
}
