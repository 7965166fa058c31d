// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
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
	s, err := openNetNS(netNS)
	if err != nil {
		return err
	}
	defer s.close()
	p := pins{bpffs}
	if !onBPFFS(p.root) {
		return releaseEverywhere(p, s) // filters, whose pins someone removed
	}
	lock, err := p.lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := releaseEverywhere(p, s); err != nil {
		return err // the pins stay, to try again with
	}
	return p.remove()
}

func releaseEverywhere(p pins, s *netNS) error {
	clsact, err := newClsactAttacher(p, s)
	if err != nil {
		return err
	}
	for _, h := range []attacher{newTCXAttacher(p, s), clsact} {
		err = errors.Join(err, releaseAll(h))
		h.close()
	}
	return err
}

func releaseAll(h attacher) error {
	held, err := h.interfaces()
	if err != nil {
		return err
	}
	for _, name := range held {
		err = errors.Join(err, h.release(name))
	}
	return err
}
