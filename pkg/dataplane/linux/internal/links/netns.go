// SPDX-License-Identifier: Apache-2.0

package links

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NetNS is the network namespace a Dataplane works in. Safe for concurrent use.
type NetNS struct {
	ns netns.NsHandle // netns.None(): the one of this process, nothing to enter
}

// OpenNetNS opens the namespace at path, or the process's own for "".
func OpenNetNS(path string) (*NetNS, error) {
	if path == "" {
		return &NetNS{ns: netns.None()}, nil
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return &NetNS{ns: ns}, nil
}

// Close closes the namespace's file, if one was opened.
func (s *NetNS) Close() {
	if s.ns.IsOpen() {
		_ = s.ns.Close()
	}
}

// Run calls fn in the namespace. Sockets stay where they were made, so only what
// makes one or looks an interface index up (attaching by tcx) has to go through here.
func (s *NetNS) Run(fn func() error) error {
	if !s.ns.IsOpen() {
		return fn()
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: a thread that changed namespace must serve no other goroutine,
		// and ends with this goroutine.
		runtime.LockOSThread()
		if err := netns.Set(s.ns); err != nil {
			done <- fmt.Errorf("entering the network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// Handle makes the netlink socket for requests.
func (s *NetNS) Handle() (*netlink.Handle, error) {
	var h *netlink.Handle
	err := s.Run(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// subscribe makes the netlink socket for notifications.
func (s *NetNS) subscribe(groups ...uint) (*nl.NetlinkSocket, error) {
	var sock *nl.NetlinkSocket
	err := s.Run(func() (err error) {
		sock, err = nl.Subscribe(unix.NETLINK_ROUTE, groups...)
		return err
	})
	return sock, err
}
