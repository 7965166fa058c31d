// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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

	nsName string
	ns     netns.NsHandle
	nl     *netlink.Handle
}

func newHost(nsName, name string) (*Host, error) {
	h := &Host{Name: name, nsName: nsName}
	err := onThrowawayThread(func() (err error) {
		h.ns, err = netns.NewNamed(nsName)
		return err
	})
	if err != nil {
		return nil, err
	}
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
func (h *Host) NetNS() string { return filepath.Join("/run/netns", h.nsName) }

// Netlink is a handle inside the namespace. It lives as long as the lab.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Do runs fn inside the namespace, on a thread of its own that is thrown away
// afterwards. Goroutines that fn starts run outside; sockets that fn makes stay
// inside wherever they are used.
func (h *Host) Do(fn func() error) error {
	return onThrowawayThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.nsName, err)
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
