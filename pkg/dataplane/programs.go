// SPDX-License-Identifier: Apache-2.0

package dataplane

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

// programs are the loaded programs, for every variant and direction.
type programs [variants][directions]*ebpf.Program

var programNames = [directions]string{upload: hotspotProgFromClient, download: hotspotProgToClient}

// openPrograms adopts the pinned programs when they are this version's and use
// the maps of s, and loads and pins those that are not there.
func openPrograms(spec *ebpf.CollectionSpec, p pins, s *state) (*programs, error) {
	var progs programs
	for v := range variants {
		pair, err := openVariant(spec, p, s, v)
		if err != nil {
			progs.close()
			return nil, err
		}
		progs[v] = pair
	}
	return &progs, nil
}

func openVariant(spec *ebpf.CollectionSpec, p pins, s *state, v variant) ([directions]*ebpf.Program, error) {
	if s.adopted {
		if pair, ok := adoptVariant(p, v); ok {
			return pair, nil
		}
	}
	pair, err := loadVariant(spec, s, v)
	if err != nil {
		return pair, err
	}
	for dir, prog := range pair {
		if err := replacePin(prog, programPin(p, v, dir)); err != nil {
			closePrograms(pair)
			return pair, explain("pinning the programs", err)
		}
	}
	return pair, nil
}

func adoptVariant(p pins, v variant) (pair [directions]*ebpf.Program, ok bool) {
	for dir := range pair {
		prog, err := ebpf.LoadPinnedProgram(programPin(p, v, dir), nil)
		if err != nil {
			closePrograms(pair)
			return pair, false
		}
		pair[dir] = prog
	}
	return pair, true
}

func loadVariant(spec *ebpf.CollectionSpec, s *state, v variant) (pair [directions]*ebpf.Program, err error) {
	spec = spec.Copy()
	if err := setPortMode(spec, v); err != nil {
		return pair, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: s.byName})
	if err != nil {
		return pair, explain("loading the programs", err)
	}
	defer coll.Close()
	for dir, name := range programNames {
		pair[dir] = coll.DetachProgram(name)
	}
	return pair, nil
}

func setPortMode(spec *ebpf.CollectionSpec, v variant) error {
	c := spec.Variables[hotspotVarPortMode]
	if c == nil {
		return fmt.Errorf("loading the programs: the object has no constant %s", hotspotVarPortMode)
	}
	var mode uint8
	if v == bridgePort {
		mode = 1
	}
	if err := c.Set(mode); err != nil {
		return fmt.Errorf("loading the programs: constant %s: %v", hotspotVarPortMode, err)
	}
	return nil
}

// programPin names a pinned program. The fingerprint of the object tells programs
// of this version from others'; the kernel's tag would not see the constants.
func programPin(p pins, v variant, dir int) string {
	mode := ""
	if v == bridgePort {
		mode = "_port"
	}
	return filepath.Join(p.programs(), fmt.Sprintf("%s%s-%s", programNames[dir], mode, fingerprint()))
}

func fingerprint() string {
	sum := sha256.Sum256(_HotspotBytes)
	return fmt.Sprintf("%x", sum[:6])
}

// prunePrograms removes the pins of other versions' programs. Those still on a
// hook stay alive there.
func prunePrograms(p pins) error {
	var keep []string
	for v := range variants {
		for dir := range directions {
			keep = append(keep, filepath.Base(programPin(p, v, dir)))
		}
	}
	pinned, err := names(p.programs())
	if err != nil {
		return fmt.Errorf("pinned programs: %v", err)
	}
	for _, name := range pinned {
		if slices.Contains(keep, name) {
			continue
		}
		if err := os.Remove(filepath.Join(p.programs(), name)); err != nil {
			return fmt.Errorf("pinned programs: %v", err)
		}
	}
	return nil
}

func closePrograms(pair [directions]*ebpf.Program) {
	for _, prog := range pair {
		if prog != nil {
			_ = prog.Close()
		}
	}
}

func (p *programs) close() {
	for _, pair := range p {
		closePrograms(pair)
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
