// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
)

// variant is how an interface is metered: all of its frames, or, on a bridge
// port, only those from or to the router itself.
type variant int

const (
	wholeInterface variant = iota
	bridgePort
	variants
)

// programs loads what is attached. Each variant is loaded when first needed: the
// kernel's check of a program takes a slow router seconds. Not safe for concurrent use.
type programs struct {
	pins   pins
	maps   *pinnedMaps
	config programConfig
	loaded [variants]*pair
}

// pair is the programs of a variant, by direction.
type pair [directions]*ebpf.Program

var programNames = [directions]string{upload: hotspotProgFromClient, download: hotspotProgToClient}

// openPrograms prepares to adopt or load programs that work on the maps of s.
func openPrograms(p pins, s *pinnedMaps, m programConfig) (*programs, error) {
	if !s.adopted {
		// What is pinned works on other maps, even if it is this version's.
		if err := removeAll(p.programs()); err != nil {
			return nil, err
		}
		if err := os.Mkdir(p.programs(), 0o700); err != nil {
			return nil, explain("bpffs", err)
		}
	}
	return &programs{pins: p, maps: s, config: m}, nil
}

// get returns the programs of a variant: those that are pinned, when they are
// this version's, or newly loaded and pinned ones.
func (p *programs) get(v variant) (*pair, error) {
	if p.loaded[v] != nil {
		return p.loaded[v], nil
	}
	var progs *pair
	ok := false
	if !p.maps.newFlows { // else those pinned have others
		progs, ok = p.adopt(v)
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

func (p *programs) adopt(v variant) (*pair, bool) {
	var progs pair
	for dir := range progs {
		prog, err := ebpf.LoadPinnedProgram(programPin(p.pins, v, p.config, dir), nil)
		if err != nil {
			progs.close()
			return nil, false
		}
		progs[dir] = prog
	}
	return &progs, true
}

func (p *programs) load(v variant) (*pair, error) {
	spec, err := p.maps.object()
	if err != nil {
		return nil, err
	}
	if err := setConstants(spec, v, p.config); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.maps.byName})
	if err != nil {
		return nil, explain("loading the programs", err)
	}
	defer coll.Close()
	var progs pair
	for dir, name := range programNames {
		progs[dir] = coll.DetachProgram(name)
		if err := replacePin(progs[dir], programPin(p.pins, v, p.config, dir)); err != nil {
			progs.close()
			return nil, explain("pinning the programs", err)
		}
	}
	return &progs, nil
}

// programPin names a pinned program. The fingerprint of the object tells programs
// of this version from others'; the kernel's tag would not see the constants.
func programPin(p pins, v variant, m programConfig, dir int) string {
	port := ""
	if v == bridgePort {
		port = "_port"
	}
	return filepath.Join(p.programs(), fmt.Sprintf("%s%s%s-%s", programNames[dir], port, m, fingerprint()))
}

func fingerprint() string {
	sum := sha256.Sum256(_HotspotBytes)
	return fmt.Sprintf("%x", sum[:6])
}

// prunePrograms removes the pins of other versions' and other modes' programs. Those
// still on a hook stay alive there.
func prunePrograms(p pins, m programConfig) error {
	var keep []string
	for v := range variants {
		for dir := range directions {
			keep = append(keep, filepath.Base(programPin(p, v, m, dir)))
		}
	}
	pinned, err := names(p.programs())
	if err != nil {
		return fmt.Errorf("pinned programs: %w", err)
	}
	for _, name := range pinned {
		if slices.Contains(keep, name) {
			continue
		}
		if err := os.Remove(filepath.Join(p.programs(), name)); err != nil {
			return fmt.Errorf("pinned programs: %w", err)
		}
	}
	return nil
}

func (p *pair) close() {
	for _, prog := range p {
		if prog != nil {
			_ = prog.Close()
		}
	}
}

func (p *programs) close() {
	for _, progs := range p.loaded {
		if progs != nil {
			progs.close()
		}
	}
}

// programID is how the kernel's reports name prog.
func programID(prog *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := prog.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("kernel %s does not tell program ids", kernelRelease())
	}
	return id, nil
}
