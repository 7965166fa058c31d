// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace. Its methods are safe for concurrent use.
type Host struct {
	Name  string           // "router"
	Addr4 netip.Addr       // of its first interface
	Addr6 netip.Addr       // of its first interface
	MAC   net.HardwareAddr // of its first interface

	path string // of the namespace
	ns   netns.NsHandle
	nl   *netlink.Handle
}

func newHost(path, name string) (*Host, error) {
	ns, err := newNamespace(path)
	if err != nil {
		return nil, err
	}
	h := &Host{Name: name, path: path, ns: ns}
	if h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	if err := h.nl.LinkSetUp(lo); err != nil {
		return nil, err
	}
	return h, h.quiet()
}

// newNamespace binds a new namespace to a file of its own, not in /run/netns: that
// is mounted over itself by the first `ip netns add` on a machine, and what was
// there before cannot be removed any more.
func newNamespace(path string) (ns netns.NsHandle, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return netns.None(), err
	}
	_ = file.Close()
	err = onThrowawayThread(func() error {
		if ns, err = netns.New(); err != nil {
			return err
		}
		mine := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		return unix.Mount(mine, path, "", unix.MS_BIND, "")
	})
	if err != nil {
		return netns.None(), errors.Join(err, os.Remove(path))
	}
	return ns, nil
}

func removeNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}

// quiet keeps the kernel from talking by itself over IPv6 and from holding
// addresses back until it has looked for duplicates.
func (h *Host) quiet() error {
	return h.Sysctl(
		"net/ipv6/conf/default/accept_dad=0",
		"net/ipv6/conf/default/dad_transmits=0",
		"net/ipv6/conf/default/accept_ra=0",
		"net/ipv6/conf/default/router_solicitations=0",
		"net/ipv4/conf/all/rp_filter=0",
		"net/ipv4/conf/default/rp_filter=0",
	)
}

// NetNS is the path of the namespace, for setns(2).
func (h *Host) NetNS() string { return h.path }

// Netlink is a handle inside the namespace. It lives as long as the lab.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Do runs fn inside the namespace, on a thread of its own that is thrown away
// afterwards. Goroutines that fn starts run outside; sockets that fn makes stay
// inside wherever they are used.
func (h *Host) Do(fn func() error) error {
	return onThrowawayThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.path, err)
		}
		return fn()
	})
}

// onThrowawayThread never unlocks the thread: the runtime ends it with the
// goroutine, so that no other goroutine runs in its namespace.
func onThrowawayThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}

// Sysctl writes settings such as "net/ipv4/ip_forward=1" inside the namespace.
func (h *Host) Sysctl(settings ...string) error {
	return h.Do(func() error {
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// Command is exec.Command inside the network namespace. The mounts stay those of
// the caller, bpffs included; the process id is the program's own.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + h.NetNS(), "--", name}, args...)...)
}

// Dial connects from inside the namespace. The address must be numeric.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	dialer.SetMultipathTCP(false)
	err = h.Do(func() error {
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens for TCP inside the namespace. The address must be numeric.
func (h *Host) Listen(address string) (l net.Listener, err error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	err = h.Do(func() error {
		l, err = config.Listen(context.Background(), "tcp", address)
		return err
	})
	return l, err
}

// ListenPacket binds a UDP socket inside the namespace. The address must be numeric.
func (h *Host) ListenPacket(address string) (conn *net.UDPConn, err error) {
	err = h.Do(func() error {
		at, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return err
		}
		conn, err = net.ListenUDP("udp", at)
		return err
	})
	return conn, err
}
