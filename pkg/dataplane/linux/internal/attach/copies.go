// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Copy is where programs like ours belong to: the folder of another agent, or one that a
// former configuration named.
type Copy struct {
	Folder string // "": none that this process sees
	Live   bool   // an agent has it open
}

// String names a copy for people.
func (c Copy) String() string {
	switch {
	case c.Folder == "":
		return "another agent whose bpffs is not visible here"
	case c.Live:
		return "another agent, with bpffs " + c.Folder
	}
	return "bpffs " + c.Folder + ", which no agent has open"
}

// Programs pin their links after they attached them, and names of programs are for
// CAP_SYS_ADMIN. An unknown program is therefore looked for again: at the age of
// firstLook, and each time that its age has doubled, at least every lastLook.
const (
	firstLook = 500 * time.Millisecond
	lastLook  = time.Minute
	mostKnown = 256 // programs come and go
)

// Census knows the programs of others that were seen on hooks: their names, and whether they
// are copies of ours. Not safe for concurrent use.
type Census struct {
	own   pins.Folder
	known map[ebpf.ProgramID]*other
}

// other is a program that is not ours.
type other struct {
	name        string
	copy        *Copy
	since, next dataplane.Boottime
}

// NewCensus knows nothing yet. own is the folder of this agent.
func NewCensus(own pins.Folder) *Census {
	return &Census{own: own, known: make(map[ebpf.ProgramID]*other)}
}

// identify adds to a program that is not ours what is known of it.
func (c *Census) identify(p *Program) {
	if p.ID == 0 {
		return
	}
	now := kernel.BootNow()
	o := c.known[p.ID]
	if o == nil {
		if len(c.known) >= mostKnown {
			clear(c.known)
		}
		o = &other{since: now, name: programName(p.ID)}
		c.known[p.ID] = o
	}
	if now >= o.next {
		o.next = now.Add(min(max(now.Sub(o.since), firstLook), lastLook))
		o.copy = c.copyOf(p.ID, o.name)
	}
	p.Copy = o.copy
	if p.Name == "" {
		p.Name = o.name
	}
}

// programName asks the kernel, which answers processes with CAP_SYS_ADMIN only.
func programName(id ebpf.ProgramID) string {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer func() { _ = prog.Close() }()
	info, err := prog.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// copyOf looks for the folder that a program belongs to.
func (c *Census) copyOf(id ebpf.ProgramID, name string) *Copy {
	for _, folder := range c.own.Others() {
		if slices.Contains(programsOf(folder), id) {
			lock, err := folder.Lock()
			if err == nil {
				_ = lock.Close()
			}
			return &Copy{Folder: folder.Root, Live: err != nil}
		}
	}
	if slices.Contains(bpf.ProgramNames[:], name) {
		return &Copy{Live: true} // some process or mount namespace holds it
	}
	return nil
}

// programsOf are the programs that are pinned in a folder, or held by its links.
func programsOf(folder pins.Folder) []ebpf.ProgramID {
	var ids []ebpf.ProgramID
	names, _ := pins.Names(folder.Programs())
	for _, name := range names {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(folder.Programs(), name), nil)
		if err != nil {
			continue
		}
		if id, err := ProgramID(prog); err == nil {
			ids = append(ids, id)
		}
		_ = prog.Close()
	}
	names, _ = pins.Names(folder.Links())
	for _, name := range names {
		l, err := link.LoadPinnedLink(filepath.Join(folder.Links(), name), nil)
		if err != nil {
			continue
		}
		if info, err := l.Info(); err == nil {
			ids = append(ids, info.Program)
		}
		_ = l.Close()
	}
	return ids
}
