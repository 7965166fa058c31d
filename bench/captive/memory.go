// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

const (
	clients     = 4096
	mostMemory  = 1 << 20
	boundMemory = 2 << 20
)

// ofAnswers are the maps that answers and the walled garden need, by their pins. Some of
// them were there before: the limits of unpaid devices, say.
var ofAnswers = regexp.MustCompile(`^(captive|preauth|garden|walled_garden|dns_streams)`)

// memory is what programs and maps of the answers occupy in the kernel.
func memory(r *router, out *report.Report) error {
	bytes := make(map[string]uint64)
	err := filepath.WalkDir(r.agent.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !ofAnswers.MatchString(entry.Name()) {
			return err
		}
		return addMap(path, bytes)
	})
	if err != nil {
		return err
	}
	var total uint64
	for name, n := range bytes {
		total += n
		out.Say("captive: %s has %d bytes", name, n)
	}
	out.Add(report.Row{Study: study, Cell: fmt.Sprintf("max_clients %d", clients), Subject: ours, Metric: "kernel memory", Value: float64(total) / (1 << 20),
		Unit: "MiB", Goal: report.AtMost(float64(mostMemory) / (1 << 20)), Bound: report.AtMost(float64(boundMemory) / (1 << 20))})
	return nil
}

// addMap adds a pinned map, and the programs in it with their constants.
func addMap(path string, bytes map[string]uint64) error {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil // a pin of something else
	}
	defer func() { _ = m.Close() }()
	info, err := m.Info()
	if err != nil {
		return err
	}
	bytes[filepath.Base(path)], _ = info.Memlock()
	if m.Type() != ebpf.ProgramArray {
		return nil
	}
	var id uint32
	if err := m.Lookup(uint32(0), &id); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return addProgram(ebpf.ProgramID(id), bytes)
}

func addProgram(id ebpf.ProgramID, bytes map[string]uint64) error {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	info, err := program.Info()
	if err != nil {
		return err
	}
	bytes[info.Name], _ = info.Memlock()
	jited, err := info.JitedSize()
	if err != nil {
		return err
	}
	bytes[info.Name+", compiled"] = uint64(jited)
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return err
		}
		if of, err := m.Info(); err == nil && of.Frozen() { // its constants
			bytes[info.Name+" "+of.Name], _ = of.Memlock()
		}
		_ = m.Close()
	}
	return nil
}
