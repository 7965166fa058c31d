// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Detach takes the programs off the hooks and removes the pins below bpffs and
// the folder itself: the network is open again, and the counters are gone. The
// agent must not be running, or it would attach again. Filters of clsact mode are
// looked for in the network namespace of the process. Nothing of others is
// touched. Detaching what is not there succeeds.
func Detach(bpffs string) error { return detachIn(bpffs, "") }

func detachIn(bpffs, netNS string) error {
	p := pins{filepath.Clean(bpffs)}
	s, err := openSpace(netNS)
	if err != nil {
		return err
	}
	defer s.close()
	clsact, err := newClsactHooks(p, s)
	if err != nil {
		return err
	}
	for _, h := range []hooker{newTCXHooks(p, s), clsact} {
		err = errors.Join(err, releaseAll(h))
		h.close()
	}
	if err != nil {
		return err // the pins stay, to try again with
	}
	return p.remove()
}

func releaseAll(h hooker) error {
	held, err := h.held()
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
		if err := unix.Unmount(p.root, 0); err != nil {
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
