// SPDX-License-Identifier: Apache-2.0

// Package disk reads the state of the disk that holds the agent's files.
package disk

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Full is so little room that the next purchase may not fit: SQLite's files grow in
// steps.
const Full = 256 << 10

// State is the state of a disk.
type State struct {
	Path     string // the folder that was read
	Free     uint64 // bytes
	ReadOnly bool
	InMemory bool // a power cut loses all
}

// Read reads the state of the disk of a folder, or of the nearest one above it that exists.
func Read(dir string) (State, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	for errors.Is(err, unix.ENOENT) && dir != "/" {
		dir = filepath.Dir(dir)
		err = unix.Statfs(dir, &s)
	}
	return State{
		Path: dir, Free: s.Bavail * uint64(s.Bsize),
		ReadOnly: s.Flags&unix.ST_RDONLY != 0,
		InMemory: s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC,
	}, err
}
