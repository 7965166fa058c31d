// SPDX-License-Identifier: Apache-2.0

// Package disk makes it durable what files say, and that they exist.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SyncData returns when what was written to a file is on the disk.
func SyncData(file *os.File) error {
	if err := unix.Fdatasync(int(file.Fd())); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: file.Name(), Err: err}
	}
	return nil
}

// SyncParent makes it durable that a file exists, or does no more.
func SyncParent(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// Remove removes a file; there may be none.
func Remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Copy returns when the copy is on the disk; half a copy is not left.
func Copy(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = target.Sync()
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return errors.Join(err, Remove(to))
	}
	return nil
}
