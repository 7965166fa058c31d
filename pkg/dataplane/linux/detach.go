// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Detach takes the programs off the hooks and removes the pins below bpffs and
// the folder itself: the network is open again, and the counters are gone. It
// fails while an agent uses the folder. Filters of clsact mode are looked for in
// the network namespace of the process. Nothing of others is touched. Detaching
// what is not there succeeds. bpffs "" stands for DefaultBPFFS.
func Detach(bpffs string) error { return detachIn(bpffs, "") }

// ForeignCopies returns what keeps the network of the interfaces closed after a Detach of
// bpffs: programs like ours that belong to another folder. It looks in the network namespace
// of the process. bpffs "" stands for DefaultBPFFS.
func ForeignCopies(bpffs string, interfaces []string) ([]dataplane.Problem, error) {
	return foreignCopiesIn(bpffs, "", interfaces)
}

func foreignCopiesIn(bpffs, netNS string, interfaces []string) ([]dataplane.Problem, error) {
	bpffs, err := normalizedBPFFS(bpffs)
	if err != nil {
		return nil, err
	}
	s, err := links.OpenNetNS(netNS)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	h, err := s.Handle()
	if err != nil {
		return nil, kernel.Explain("netlink", err)
	}
	defer h.Close()
	var problems []dataplane.Problem
	for _, name := range interfaces {
		l, err := h.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue
		}
		if err != nil {
			return nil, kernel.Explain("interface "+name, err)
		}
		on, err := attach.Inspect(pins.Folder{Root: bpffs}, s, attach.Device{Name: name, Index: l.Attrs().Index})
		if err != nil {
			return nil, err
		}
		problems = append(problems, on.ForeignCopies(name)...)
	}
	return problems, nil
}

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
	_, err := attach.ReleaseFolder(p, s, func(attach.Device) bool { return true })
	return err
}
