// SPDX-License-Identifier: Apache-2.0

// Package pins keeps the maps and programs that outlive the process, as pins on a bpffs.
package pins

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// Paths and names on a bpffs.
const (
	SystemBPFFS = "/sys/fs/bpf"   // where distributions mount it
	mountSource = "hotspot-agent" // marks the mounts that are ours to remove
	NewSuffix   = ":new"          // of a pin or folder about to be renamed into place
)

// Folder is the folder tree that outlives the process:
//
//	maps/<map>                         the state of enforcement
//	maps:past-<boottime>/<map>         what another version's counted up to then, see Retired
//	programs/<program>-<fingerprint>   what is or was attached
//	links/<interface>-<hook>           tcx only: what holds a program on its hook
//	clsact/<interface>-<index>         empty folder: this qdisc was made by us
//
// A bpffs refuses names with a dot and an interface name has no colon, so that
// PinName can swap one for the other.
type Folder struct{ Root string }

// Maps is the folder of the maps.
func (p Folder) Maps() string    { return filepath.Join(p.Root, "maps") }
func (p Folder) newMaps() string { return p.Maps() + NewSuffix }

// Programs is the folder of the programs.
func (p Folder) Programs() string { return filepath.Join(p.Root, "programs") }

// Links is the folder of the tcx links.
func (p Folder) Links() string { return filepath.Join(p.Root, "links") }

// Clsact is the folder of the qdiscs that the agent made.
func (p Folder) Clsact() string { return filepath.Join(p.Root, "clsact") }

// PinName is the name of an interface in names of pins.
func PinName(ifname string) string { return strings.ReplaceAll(ifname, ".", ":") }

// IfName is the inverse of PinName.
func IfName(pin string) string { return strings.ReplaceAll(pin, ":", ".") }

// Lock takes the folder for this process until the file is closed or the process
// ends. Two agents on one set of pins would undo each other's work.
func (p Folder) Lock() (*os.File, error) {
	f, err := os.Open(p.Root)
	if err != nil {
		return nil, kernel.Explain("bpffs", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("bpffs %s: another agent is using it: stop that one first", p.Root)
		}
		return nil, kernel.Explain("locking "+p.Root, err)
	}
	return f, nil
}

// Prepare makes the folders. Left-overs of a start that failed are removed.
func (p Folder) Prepare() error {
	for _, dir := range []string{p.Programs(), p.Links(), p.Clsact()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return kernel.Explain("bpffs", err)
		}
	}
	return RemoveAll(p.newMaps())
}

// EnsureBPFFS makes dir, on a bpffs. One is mounted at /sys/fs/bpf when dir is
// below it and the system left it out (dir could not be made on the sysfs
// beneath), else at dir itself.
func EnsureBPFFS(dir string) error {
	if strings.HasPrefix(dir+"/", SystemBPFFS+"/") && !OnBPFFS(SystemBPFFS) {
		if err := mountBPFFS(SystemBPFFS); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if strings.Contains(dir, ".") {
			return kernel.Explain("bpffs (its folders cannot have a dot in their names)", err)
		}
		return kernel.Explain("bpffs", err)
	}
	if OnBPFFS(dir) {
		return nil
	}
	return mountBPFFS(dir)
}

func mountBPFFS(dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(mountSource, dir, "bpf", flags, "mode=0700"); err != nil {
		return kernel.Explain("mounting a bpffs at "+dir, err)
	}
	return nil
}

// OnBPFFS reports whether dir is on a bpffs.
func OnBPFFS(dir string) bool {
	var st unix.Statfs_t
	// The type is a signed number of 32 bits on some machines.
	return unix.Statfs(dir, &st) == nil && uint32(st.Type) == unix.BPF_FS_MAGIC
}

// OwnMount reports whether dir is where a bpffs was mounted by EnsureBPFFS.
func OwnMount(dir string) bool {
	return slices.Contains(mounts(), mount{point: dir, kind: "bpf", source: mountSource})
}

// pinner is a map, program or link.
type pinner interface{ Pin(path string) error }

// ReplacePin pins obj at path, over what is pinned there.
func ReplacePin(obj pinner, path string) error {
	tmp := path + NewSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := obj.Pin(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Names lists a folder; one that does not exist is empty.
func Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list, err
}

// RemoveAll removes a folder of pins and what is in it.
func RemoveAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}

// Remove removes the folders of pins and, when nothing else is in it, the root
// with the bpffs that was mounted for it.
func (p Folder) Remove() error {
	if err := p.RemoveRetired(); err != nil {
		return err
	}
	for _, dir := range []string{p.Links(), p.Clsact(), p.Programs(), p.newMaps(), p.Maps()} {
		if err := RemoveAll(dir); err != nil {
			return err
		}
	}
	left, err := Names(p.Root)
	left = slices.DeleteFunc(left, madeByKernel)
	if err != nil || len(left) > 0 || p.Root == SystemBPFFS {
		return err
	}
	if OwnMount(p.Root) {
		// Lazily: the lock keeps the mount busy until Detach returns.
		if err := unix.Unmount(p.Root, unix.MNT_DETACH); err != nil {
			return kernel.Explain("unmounting "+p.Root, err)
		}
	}
	if err := os.Remove(p.Root); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("removing %s: %w", p.Root, err)
	}
	return nil
}

// madeByKernel reports what a fresh bpffs holds by itself (maps.debug, progs.debug):
// no process can make a name with a dot.
func madeByKernel(name string) bool { return strings.Contains(name, ".") }
