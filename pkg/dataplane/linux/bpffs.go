// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	systemBPFFS = "/sys/fs/bpf"   // where distributions mount it
	mountSource = "hotspot-agent" // marks the mounts that are ours to remove
	newSuffix   = ":new"          // of a pin or folder about to be renamed into place
)

// pins is the folder tree that outlives the process:
//
//	maps/<map>                         the state of enforcement
//	maps:past-<boottime>/<map>         what another version's counted up to then, see Past
//	programs/<program>-<fingerprint>   what is or was attached
//	links/<interface>-<hook>           tcx only: what holds a program on its hook
//	clsact/<interface>-<index>         empty folder: this qdisc was made by us
//
// A bpffs refuses names with a dot and an interface name has no colon, so that
// pinName can swap one for the other.
type pins struct{ root string }

func (p pins) maps() string     { return filepath.Join(p.root, "maps") }
func (p pins) newMaps() string  { return p.maps() + newSuffix }
func (p pins) programs() string { return filepath.Join(p.root, "programs") }
func (p pins) links() string    { return filepath.Join(p.root, "links") }
func (p pins) clsact() string   { return filepath.Join(p.root, "clsact") }

func pinName(ifname string) string { return strings.ReplaceAll(ifname, ".", ":") }
func ifName(pin string) string     { return strings.ReplaceAll(pin, ":", ".") }

// lock takes the folder for this process until the file is closed or the process
// ends. Two agents on one set of pins would undo each other's work.
func (p pins) lock() (*os.File, error) {
	f, err := os.Open(p.root)
	if err != nil {
		return nil, explain("bpffs", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("bpffs %s: another agent is using it: stop that one first", p.root)
		}
		return nil, explain("locking "+p.root, err)
	}
	return f, nil
}

// prepare makes the folders. Left-overs of a start that failed are removed.
func (p pins) prepare() error {
	for _, dir := range []string{p.programs(), p.links(), p.clsact()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return explain("bpffs", err)
		}
	}
	return removeAll(p.newMaps())
}

// ensureBPFFS makes dir, on a bpffs. One is mounted at /sys/fs/bpf when dir is
// below it and the system left it out (dir could not be made on the sysfs
// beneath), else at dir itself.
func ensureBPFFS(dir string) error {
	if strings.HasPrefix(dir+"/", systemBPFFS+"/") && !onBPFFS(systemBPFFS) {
		if err := mountBPFFS(systemBPFFS); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if strings.Contains(dir, ".") {
			return explain("bpffs (its folders cannot have a dot in their names)", err)
		}
		return explain("bpffs", err)
	}
	if onBPFFS(dir) {
		return nil
	}
	return mountBPFFS(dir)
}

func mountBPFFS(dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(mountSource, dir, "bpf", flags, "mode=0700"); err != nil {
		return explain("mounting a bpffs at "+dir, err)
	}
	return nil
}

func onBPFFS(dir string) bool {
	var st unix.Statfs_t
	// The type is a signed number of 32 bits on some machines.
	return unix.Statfs(dir, &st) == nil && uint32(st.Type) == unix.BPF_FS_MAGIC
}

// ownMount reports whether dir is where a bpffs was mounted by ensureBPFFS.
func ownMount(dir string) bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// ... mount point (5th), options, optional fields, "-", type, source, ...
		head, tail, _ := strings.Cut(lines.Text(), " - ")
		fields, source := strings.Fields(head), strings.Fields(tail)
		if len(fields) > 4 && len(source) > 1 && fields[4] == dir && source[0] == "bpf" && source[1] == mountSource {
			return true
		}
	}
	return false
}

// pinner is a map, program or link.
type pinner interface{ Pin(path string) error }

// replacePin pins obj at path, over what is pinned there.
func replacePin(obj pinner, path string) error {
	tmp := path + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := obj.Pin(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// names lists a folder; one that does not exist is empty.
func names(dir string) ([]string, error) {
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

// removeAll removes a folder of pins and what is in it.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}
