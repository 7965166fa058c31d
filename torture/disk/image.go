// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const imageBytes = 32 << 20

// image is a disk with ext4 that holds the state of the agent.
type image struct {
	file     string
	database string
	at       string // where it is mounted
	ballast  string
}

func newImage(database string) *image {
	at := filepath.Dir(database)
	return &image{file: at + ".img", database: database, at: at, ballast: filepath.Join(at, "ballast")}
}

func (d *image) make() error {
	err := errors.Join(os.MkdirAll(d.at, 0o700), os.WriteFile(d.file, nil, 0o600))
	if err == nil {
		err = os.Truncate(d.file, imageBytes)
	}
	if err == nil {
		err = command("mkfs.ext4", "-q", "-m", "0", d.file)
	}
	if err == nil {
		err = d.mount()
	}
	return err
}

func (d *image) mount() error {
	return command("mount", "-o", "loop,errors=remount-ro", d.file, d.at)
}

func (d *image) unmount() error { return command("umount", d.at) }

// remove removes it whether it is mounted or not.
func (d *image) remove() error {
	err := unix.Unmount(d.at, 0)
	if errors.Is(err, unix.EINVAL) {
		err = nil // no mount
	}
	return errors.Join(err, os.Remove(d.file))
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// fill leaves no byte.
func (k *kiosk) fill() error {
	file, err := os.Create(k.disk.ballast)
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4096} {
		chunk := make([]byte, size)
		for err == nil {
			if _, err = file.Write(chunk); err == nil {
				err = file.Sync()
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			break
		}
		err = nil
	}
	// SQLite's files have room that is theirs already: it is used up.
	for range 2000 {
		if k.buy() != nil {
			return errors.Join(err, file.Close())
		}
	}
	return errors.Join(err, file.Close(), errors.New("the disk does not fill"))
}

func (k *kiosk) empty() error { return os.Remove(k.disk.ballast) }

// freeze has every write wait.
func (k *kiosk) freeze() error { return command("fsfreeze", "--freeze", k.disk.at) }

func (k *kiosk) thaw() error { return command("fsfreeze", "--unfreeze", k.disk.at) }

// corrupt spoils a page of an index, as flash does at a power cut: all that was
// bought can still be read.
func (k *kiosk) corrupt() error {
	if err := k.Agent.Stop(); err != nil {
		return err
	}
	const page, indexLeaf = 4096, 0x0a
	data, err := os.ReadFile(k.disk.database)
	if err != nil {
		return err
	}
	for at := page; at < len(data); at += page {
		if data[at] == indexLeaf {
			copy(data[at:], bytes.Repeat([]byte{0xa5}, page))
			return os.WriteFile(k.disk.database, data, 0o600)
		}
	}
	return errors.New("the database has no index")
}

func (k *kiosk) start() error { return k.Agent.Start() }

// tidy removes the damaged database, as an operator does in the end.
func (k *kiosk) tidy() error {
	found, err := filepath.Glob(k.disk.database + ".damaged-*")
	if err == nil && len(found) == 0 {
		err = errors.New("no damaged database is set aside")
	}
	for _, name := range found {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// fail is an error that the file system meets, after which it is read-only.
func (k *kiosk) fail() error {
	out, err := exec.Command("findmnt", "-no", "SOURCE", k.disk.at).Output()
	if err != nil {
		return err
	}
	device := filepath.Base(strings.TrimSpace(string(out)))
	return os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("1"), 0)
}

// mend is what an operator does: the disk is checked, and the agent restarted.
func (k *kiosk) mend() error {
	if err := errors.Join(k.Agent.Stop(), k.disk.unmount()); err != nil {
		return err
	}
	if err := exec.Command("fsck.ext4", "-fy", k.disk.file).Run(); err != nil {
		var status *exec.ExitError // 1: errors were mended
		if !errors.As(err, &status) || status.ExitCode() > 1 {
			return err
		}
	}
	return errors.Join(k.disk.mount(), k.Agent.Start())
}
