// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
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

// remove removes the folders of pins and, when nothing else is in it, the root
// with the bpffs that was mounted for it.
func (p pins) remove() error {
	if err := p.removeRetired(); err != nil {
		return err
	}
	for _, dir := range []string{p.links(), p.clsact(), p.programs(), p.newMaps(), p.maps()} {
		if err := removeAll(dir); err != nil {
			return err
		}
	}
	left, err := names(p.root)
	left = slices.DeleteFunc(left, madeByKernel)
	if err != nil || len(left) > 0 || p.root == systemBPFFS {
		return err
	}
	if ownMount(p.root) {
		// Lazily: the lock keeps the mount busy until Detach returns.
		if err := unix.Unmount(p.root, unix.MNT_DETACH); err != nil {
			return explain("unmounting "+p.root, err)
		}
	}
	if err := os.Remove(p.root); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("removing %s: %w", p.root, err)
	}
	return nil
}

// madeByKernel tells what a fresh bpffs holds by itself (maps.debug, progs.debug):
// nobody else can make a name with a dot.
func madeByKernel(name string) bool { return strings.Contains(name, ".") }
