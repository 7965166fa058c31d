// SPDX-License-Identifier: Apache-2.0

package links

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// flagBuffer is room for a few notifications: the first one says all, and those that find
// no room raise the flag as well (ENOBUFS).
const flagBuffer = 4 << 10

// Flag says whether the kernel notified of anything since the last look. It is looked at,
// not waited for: many changes cost as little as one, and none wakes a process up. Not safe
// for concurrent use.
type Flag struct {
	fd    int
	first [1]byte // of a notification; the rest is of no interest
}

// NewFlag subscribes to multicast groups of a netlink protocol in the namespace of s.
//
// Errors: unix.EPROTONOSUPPORT where the kernel lacks the protocol.
func NewFlag(s *NetNS, protocol int, groups ...int) (*Flag, error) {
	f := &Flag{fd: -1}
	err := s.Run(func() (err error) {
		f.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		return err
	})
	if err == nil {
		err = f.subscribe(groups)
	}
	if err != nil {
		f.Close()
		return nil, kernel.Explain("netlink", err)
	}
	return f, nil
}

func (f *Flag) subscribe(groups []int) error {
	if err := unix.SetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, flagBuffer); err != nil {
		return err
	}
	if err := unix.Bind(f.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(f.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("group %d: %w", group, err)
		}
	}
	return nil
}

// Raised reports whether anything came since the last call, and lowers the flag.
func (f *Flag) Raised() bool {
	raised := false
	for {
		_, err := unix.Read(f.fd, f.first[:])
		if errors.Is(err, unix.EAGAIN) {
			return raised
		}
		raised = true
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return raised // a socket that is of no use: what it would have said is to be asked
		}
	}
}

// Close closes the socket. It may be called again.
func (f *Flag) Close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
	}
}
