// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is the process at the other end of a connection, as the kernel saw it when
// the connection was made.
type peer struct {
	PID    int32
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

func peerOf(conn net.Conn) (peer, error) {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}, fmt.Errorf("%T is no Unix socket", conn)
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var p peer
	var inner error
	if err := raw.Control(func(fd uintptr) { p, inner = credentials(int(fd)) }); err != nil {
		return peer{}, err
	}
	return p, inner
}

// credentials asks for SO_PEERCRED and SO_PEERGROUPS, unix(7) and socket(7).
func credentials(fd int) (peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	// Without its supplementary groups a peer may do less, never more.
	groups, _ := peerGroups(fd)
	return peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid, Groups: groups}, nil
}

// peerGroups grows its buffer to what the kernel asks for with ERANGE; NGROUPS_MAX
// bounds it.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups)) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && int(size/4) > len(groups):
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// noGroup stands for "no group beside root".
const noGroup = -1

// lookupGroup returns the id of the group that a configuration key gives by name or
// number; noGroup for "".
func lookupGroup(key, name string) (int, error) {
	if name == "" {
		return noGroup, nil
	}
	group, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	if errors.As(err, &unknown) {
		if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
			return int(gid), nil
		}
		return noGroup, fmt.Errorf("%s: there is no group %q on this machine", key, name)
	}
	if err != nil {
		return noGroup, fmt.Errorf("%s: looking up group %q: %w", key, name, err)
	}
	gid, err := strconv.ParseUint(group.Gid, 10, 31)
	if err != nil {
		return noGroup, fmt.Errorf("%s: group %q has the odd id %q", key, name, group.Gid)
	}
	return int(gid), nil
}
