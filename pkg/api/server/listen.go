// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

// MaxSocketPath is what fits sockaddr_un with its final NUL, unix(7).
const MaxSocketPath = 107

// Listen opens the agent's socket at path: mode 0660 with the group of the operators,
// 0600 without one. With a group of viewers it is 0666, because a file has one group:
// then every user can connect, and the server answers the members. It is never reachable
// with another mode: it is made in a private directory and moved to path when it is ready.
// A missing parent directory is made, 0755.
//
// A socket that a dead agent left is replaced; one that answers is an error that
// says so. Errors wrap the system's. Close removes the socket, unless another has taken its place.
func Listen(path string, access Access) (net.Listener, error) {
	roles, err := rolesOf(access)
	if err != nil {
		return nil, err
	}
	if len(path) > MaxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, and a Unix socket's may have %d", path, len(path), MaxSocketPath)
	}
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	unlock, err := lockDir(parent)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	// Two agents that start at once: probing and taking the name is one step.
	defer unlock()
	if err := probe(path); err != nil {
		return nil, err
	}
	removeLeft(parent)
	return bind(path, roles)
}

// privateName is a folder of a start, in which the socket is made.
const privateName = ".hotspot-"

// removeLeft removes the folders that starts which were killed left in dir. Its caller has
// dir locked, so that no start is on its way there. What is not exactly such a folder stays.
func removeLeft(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be read stays
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), privateName)
		if _, err := strconv.ParseUint(number, 10, 64); !ours || err != nil || !madeHere(e) {
			continue
		}
		private := filepath.Join(dir, e.Name())
		if s, err := os.Lstat(filepath.Join(private, "s")); err == nil && s.Mode().Type() == fs.ModeSocket {
			_ = os.Remove(filepath.Join(private, "s"))
		}
		_ = unix.Rmdir(private) // one with other files is of another program
	}
}

// madeHere reports whether a folder has the owner and mode of a start's.
func madeHere(e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uint32(os.Geteuid())
}

func lockDir(dir string) (unlock func(), err error) {
	handle, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(handle.Fd()), unix.LOCK_EX); err != nil {
		wire.CloseQuietly(handle)
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { wire.CloseQuietly(handle) }, nil
}

// probe returns nil when path is free, or a socket without a listener.
func probe(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("socket %s: a file that is no socket exists there (%s); remove it or choose another path", path, info.Mode())
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		wire.CloseQuietly(conn)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil // stale; the new one takes its name
	}
	return fmt.Errorf("socket %s is in use by a running agent", path)
}

func bind(path string, roles roles) (net.Listener, error) {
	private, err := os.MkdirTemp(filepath.Dir(path), privateName)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	inner, err := listenIn(private)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln := &listener{UnixListener: inner, path: path}
	if err := ln.publish(filepath.Join(private, "s"), roles); err != nil {
		wire.CloseQuietly(ln.UnixListener)
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return ln, nil
}

// listenIn makes the socket in a private folder: through a handle, so that the length of
// the folder's path does not count.
func listenIn(private string) (*net.UnixListener, error) {
	handle, err := os.Open(private)
	if err != nil {
		return nil, err
	}
	defer wire.CloseQuietly(handle)
	made, err := new(net.ListenConfig).Listen(context.Background(), "unix", fmt.Sprintf("/proc/self/fd/%d/s", handle.Fd()))
	if err != nil {
		return nil, err
	}
	ln := made.(*net.UnixListener)
	ln.SetUnlinkOnClose(false)
	return ln, nil
}

// listener is the agent's socket under its public name.
type listener struct {
	*net.UnixListener
	path   string
	self   fs.FileInfo
	closed sync.Once
}

// publish sets owner and mode while only this process can reach the socket, then moves it.
func (l *listener) publish(private string, roles roles) error {
	mode := fs.FileMode(0o600)
	if roles.operators != noGroup {
		mode = 0o660
		if err := os.Chown(private, -1, roles.operators); err != nil {
			return err
		}
	}
	if roles.viewers != noGroup {
		mode = 0o666
	}
	if err := os.Chmod(private, mode); err != nil {
		return err
	}
	var err error
	if l.self, err = os.Lstat(private); err != nil {
		return err
	}
	return os.Rename(private, l.path)
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	l.closed.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.self) {
			_ = os.Remove(l.path) // at worst it is a stale one for the next agent
		}
	})
	return l.UnixListener.Close()
}
