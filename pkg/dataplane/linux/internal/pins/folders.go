// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// deepestFolder bounds how deep below a mount point folders are looked for: other programs
// keep trees of their own on a bpffs.
const deepestFolder = 5

// Others finds the folders of other agents, and those that a former configuration of this
// one named: on every bpffs that this process sees. What cannot be read is left out.
func (p Folder) Others() []Folder {
	var found []Folder
	var seen []os.FileInfo
	if own, err := os.Stat(p.Root); err == nil {
		seen = append(seen, own)
	}
	for _, m := range mounts() {
		if m.kind != "bpf" {
			continue
		}
		_ = filepath.WalkDir(m.point, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir
			}
			if !e.IsDir() {
				return nil
			}
			if strings.Count(strings.TrimPrefix(path, m.point), "/") > deepestFolder {
				return fs.SkipDir
			}
			other := Folder{Root: path}
			if !other.isFolder() {
				return nil
			}
			info, err := os.Stat(path)
			if err == nil && !slices.ContainsFunc(seen, func(s os.FileInfo) bool { return os.SameFile(s, info) }) {
				seen = append(seen, info) // a bpffs may be mounted at several places
				found = append(found, other)
			}
			return fs.SkipDir
		})
	}
	return found
}

// isFolder reports whether an agent pinned its programs here.
func (p Folder) isFolder() bool {
	programs, _ := Names(p.Programs())
	return slices.ContainsFunc(programs, func(name string) bool {
		return slices.ContainsFunc(bpf.ProgramNames[:], func(ours string) bool { return strings.HasPrefix(name, ours) })
	})
}

// mounts are those that this process sees.
func mounts() []mount {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var list []mount
	for lines := bufio.NewScanner(f); lines.Scan(); {
		list = append(list, parseMount(lines.Text()))
	}
	return list
}

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct{ point, kind, source string }

func parseMount(line string) mount {
	// ... mount point (5th), options, optional fields, "-", type, source, ...
	head, tail, _ := strings.Cut(line, " - ")
	fields, rest := strings.Fields(head), strings.Fields(tail)
	if len(fields) <= 4 || len(rest) <= 1 {
		return mount{}
	}
	return mount{point: fields[4], kind: rest[0], source: rest[1]}
}
