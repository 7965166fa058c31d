// SPDX-License-Identifier: Apache-2.0

package server

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

func TestListenMode(t *testing.T) {
	for _, test := range []struct {
		access Access
		mode   fs.FileMode
	}{{Access{}, 0o600}, {Access{Operators: "0"}, 0o660}, {Access{Viewers: "0"}, 0o666}, {Access{Operators: "0", Viewers: "0"}, 0o666}} {
		path := filepath.Join(t.TempDir(), "made", "agent.sock")
		ln, err := Listen(path, test.access)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|test.mode {
			t.Errorf("%+v: mode is %v, want a socket with %v", test.access, info.Mode(), test.mode)
		}
		if rest, _ := os.ReadDir(filepath.Dir(path)); len(rest) != 1 {
			t.Errorf("%+v: %v is left beside the socket", test.access, rest)
		}
		wire.CloseQuietly(ln)
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%+v: Close left the socket behind", test.access)
		}
	}
}

// The socket is never visible with another mode than its final one, whatever the
// process's umask.
func TestListenNeverOpenTooWide(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := filepath.Join(t.TempDir(), "agent.sock")
	stop, watched := make(chan struct{}), make(chan fs.FileMode, 1)
	go func() {
		var widest fs.FileMode
		for {
			if info, err := os.Lstat(path); err == nil {
				widest |= info.Mode().Perm()
			}
			select {
			case <-stop:
				watched <- widest
				return
			default:
			}
		}
	}()
	for range 50 {
		ln, err := Listen(path, Access{})
		if err != nil {
			t.Fatal(err)
		}
		wire.CloseQuietly(ln)
	}
	close(stop)
	if widest := <-watched; widest&^0o600 != 0 {
		t.Errorf("the socket was seen with mode %v", widest)
	}
}

func TestListenStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	wire.CloseQuietly(dead)
	ln, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(ln)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not answer: %v", err)
	}
	wire.CloseQuietly(conn)
}

func TestListenLiveSocketIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	first, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(first)
	_, err = Listen(path, Access{})
	if want := "socket " + path + " is in use by a running agent"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %q", err, want)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first agent lost its socket: %v", err)
	} else {
		wire.CloseQuietly(conn)
	}
}

func TestListenOnlyOneOfManyWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	var all sync.WaitGroup
	winners := make(chan net.Listener, 8)
	for range 8 {
		all.Go(func() {
			if ln, err := Listen(path, Access{}); err == nil {
				winners <- ln
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Errorf("%d agents got the socket, want 1", len(winners))
	}
	for len(winners) > 0 {
		wire.CloseQuietly(<-winners)
	}
}

func TestListenCloseLeavesASuccessorsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	old, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(successor)
	wire.CloseQuietly(old)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, group, want string }{
		{file, "", "no socket"},
		{filepath.Join(file, "agent.sock"), "", "not a directory"},
		{filepath.Join(dir, "s"), "no-such-group-here", `socket_group: there is no group "no-such-group-here"`},
		{filepath.Join(dir, strings.Repeat("x", 120)), "", "a Unix socket's may have 107"},
	} {
		_, err := Listen(test.path, Access{Operators: test.group})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Listen(%q, %q) = %v, want an error with %q", test.path, test.group, err, test.want)
		}
	}
	if _, err := Listen(filepath.Join(dir, "s"), Access{Viewers: "no-such-group-here"}); err == nil || !strings.Contains(err.Error(), "viewer_group: there is no group") {
		t.Errorf("a group of viewers that does not exist: %v", err)
	}
	if content, err := os.ReadFile(file); err != nil || len(content) != 0 {
		t.Errorf("a file in the way was touched: %v", err)
	}
}

// A path just short enough for a socket needs no shorter private one.
func TestListenLongestPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("x", MaxSocketPath-len(dir)-1))
	ln, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(ln)
	if got := ln.Addr().String(); got != path {
		t.Errorf("Addr is %q, want %q", got, path)
	}
}

func TestPeerOfConnection(t *testing.T) {
	ln, err := Listen(filepath.Join(t.TempDir(), "agent.sock"), Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(ln)
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(client)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(conn)
	p, err := peerOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if int(p.PID) != os.Getpid() || int(p.UID) != os.Geteuid() || int(p.GID) != os.Getegid() || len(p.Groups) != len(groups) {
		t.Errorf("peer is %+v, want pid %d, uid %d, gid %d and %d groups", p, os.Getpid(), os.Geteuid(), os.Getegid(), len(groups))
	}
}
