// SPDX-License-Identifier: Apache-2.0

// Package disk looks at the disk that holds the agent's state.
package disk

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Full is so little room that the next purchase may not fit: SQLite's files grow in
// steps.
const Full = 256 << 10

// State is a disk at one moment.
type State struct {
	Path     string // the folder that was looked at
	Free     uint64 // bytes
	ReadOnly bool
	InMemory bool // a power cut loses all
}

// Look looks at the disk of a folder, or of the nearest one above it that exists.
func Look(dir string) (State, error) {
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
