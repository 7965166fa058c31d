// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Detach takes the programs off the hooks and removes the pins below bpffs and
// the folder itself: the network is open again, and the counters are gone. It
// fails while an agent uses the folder. Filters of clsact mode are looked for in
// the network namespace of the process. Nothing of others is touched. Detaching
// what is not there succeeds. bpffs "" stands for DefaultBPFFS.
func Detach(bpffs string) error { return detachIn(bpffs, "") }

func detachIn(bpffs, netNS string) error {
	bpffs, err := normalizedBPFFS(bpffs)
	if err != nil {
		return err
	}
	s, err := links.OpenNetNS(netNS)
	if err != nil {
		return err
	}
	defer s.Close()
	p := pins.Folder{Root: bpffs}
	if !pins.OnBPFFS(p.Root) {
		return releaseEverywhere(p, s) // filters, whose pins someone removed
	}
	lock, err := p.Lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := releaseEverywhere(p, s); err != nil {
		return err // the pins stay, to try again with
	}
	return p.Remove()
}

func releaseEverywhere(p pins.Folder, s *links.NetNS) error {
	clsact, err := attach.NewClsact(p, s)
	if err != nil {
		return err
	}
	for _, h := range []attach.Attacher{attach.NewTCX(p, s), clsact} {
		err = errors.Join(err, releaseAll(h))
		h.Close()
	}
	return err
}

func releaseAll(h attach.Attacher) error {
	held, err := h.Interfaces()
	if err != nil {
		return err
	}
	for _, name := range held {
		err = errors.Join(err, h.Release(name))
	}
	return err
}
