// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Programs loads what is attached. Each variant is loaded when first needed: the
// kernel's check of a program takes a slow router seconds. Not safe for concurrent use.
type Programs struct {
	Folder pins.Folder
	maps   *pins.Maps
	Config bpf.ProgramConfig
	loaded [bpf.Variants]*Pair
}

// Pair is the programs of a variant, by direction.
type Pair [bpf.Directions]*ebpf.Program

// OpenPrograms prepares to adopt or load programs that work on the maps of s.
func OpenPrograms(p pins.Folder, s *pins.Maps, m bpf.ProgramConfig) (*Programs, error) {
	if !s.Adopted {
		// What is pinned works on other maps, even if it is this version's.
		if err := pins.RemoveAll(p.Programs()); err != nil {
			return nil, err
		}
		if err := os.Mkdir(p.Programs(), 0o700); err != nil {
			return nil, kernel.Explain("bpffs", err)
		}
	}
	return &Programs{Folder: p, maps: s, Config: m}, nil
}

// Get returns the programs of a variant: those that are pinned, when they are
// this version's, or newly loaded and pinned ones.
func (p *Programs) Get(v bpf.Variant) (*Pair, error) {
	if p.loaded[v] != nil {
		return p.loaded[v], nil
	}
	var progs *Pair
	ok := false
	if !p.maps.NewFlows { // else those pinned have others
		progs, ok = p.Adopt(v)
	}
	if !ok {
		var err error
		if progs, err = p.load(v); err != nil {
			return nil, err
		}
	}
	p.loaded[v] = progs
	return progs, nil
}

// Adopt opens the pinned programs of a variant and reports whether all of them are there.
func (p *Programs) Adopt(v bpf.Variant) (*Pair, bool) {
	var progs Pair
	for dir := range progs {
		prog, err := ebpf.LoadPinnedProgram(programPin(p.Folder, v, p.Config, dir), nil)
		if err != nil {
			progs.Close()
			return nil, false
		}
		progs[dir] = prog
	}
	return &progs, true
}

func (p *Programs) load(v bpf.Variant) (*Pair, error) {
	spec, err := p.maps.Object()
	if err != nil {
		return nil, err
	}
	if err := bpf.SetConstants(spec, v, p.Config); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.maps.ByName})
	if err != nil {
		return nil, kernel.Explain("loading the programs", err)
	}
	defer coll.Close()
	var progs Pair
	for dir, name := range bpf.ProgramNames {
		progs[dir] = coll.DetachProgram(name)
		if err := pins.ReplacePin(progs[dir], programPin(p.Folder, v, p.Config, dir)); err != nil {
			progs.Close()
			return nil, kernel.Explain("pinning the programs", err)
		}
	}
	return &progs, nil
}

// programPin names a pinned program. The fingerprint of the object distinguishes programs
// of this version from others'; the kernel's tag would not see the constants.
func programPin(p pins.Folder, v bpf.Variant, m bpf.ProgramConfig, dir int) string {
	port := ""
	if v == bpf.BridgePort {
		port = "_port"
	}
	return filepath.Join(p.Programs(), fmt.Sprintf("%s%s%s-%s", bpf.ProgramNames[dir], port, m, bpf.Fingerprint()))
}

// PrunePrograms removes the pins of other versions' and other modes' programs. Those
// still on a hook stay alive there.
func PrunePrograms(p pins.Folder, m bpf.ProgramConfig) error {
	var keep []string
	for v := range bpf.Variants {
		for dir := range bpf.Directions {
			keep = append(keep, filepath.Base(programPin(p, v, m, dir)))
		}
	}
	pinned, err := pins.Names(p.Programs())
	if err != nil {
		return fmt.Errorf("pinned programs: %w", err)
	}
	for _, name := range pinned {
		if slices.Contains(keep, name) {
			continue
		}
		if err := os.Remove(filepath.Join(p.Programs(), name)); err != nil {
			return fmt.Errorf("pinned programs: %w", err)
		}
	}
	return nil
}

// Close closes the programs. Those that are pinned or attached stay.
func (p *Pair) Close() {
	for _, prog := range p {
		if prog != nil {
			_ = prog.Close()
		}
	}
}

// Close closes all programs that Get returned.
func (p *Programs) Close() {
	for _, progs := range p.loaded {
		if progs != nil {
			progs.Close()
		}
	}
}

// ProgramID is how the kernel's reports name prog.
func ProgramID(prog *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := prog.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("kernel %s does not report program ids", kernel.Release())
	}
	return id, nil
}
