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
	"sync"
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
	return bind(path, roles)
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
	private, err := os.MkdirTemp(filepath.Dir(path), ".hotspot-")
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	handle, err := os.Open(private)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer wire.CloseQuietly(handle)
	// Through the handle, so that the private path's length does not count.
	inner, err := new(net.ListenConfig).Listen(context.Background(), "unix", fmt.Sprintf("/proc/self/fd/%d/s", handle.Fd()))
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln := &listener{UnixListener: inner.(*net.UnixListener), path: path}
	ln.SetUnlinkOnClose(false)
	if err := ln.publish(filepath.Join(private, "s"), roles); err != nil {
		wire.CloseQuietly(ln.UnixListener)
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
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
