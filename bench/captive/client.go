// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// request is that of a phone that probes the network: shorter than a browser's.
const request = "GET /generate_204 HTTP/1.1\r\nUser-Agent: Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP1A.240505.004)\r\n" +
	"Host: connectivitycheck.gstatic.com\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n"

// ask opens a connection from an address, asks for a page, and reads until it has the
// redirect. The caller is on a thread in the network namespace of the device: to enter it
// for each connection would take longer than the answer.
func ask(from netip.Addr, to netip.AddrPort, patience time.Duration) (took time.Duration, err error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	since := time.Now()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.NsecToTimeval(int64(patience))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return 0, err
		}
	}
	// The port is chosen for the whole connection, not for the address alone.
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, socketAddress(netip.AddrPortFrom(from, 0))); err != nil {
		return 0, fmt.Errorf("bind %v: %w", from, err)
	}
	if err := unix.Connect(fd, socketAddress(to)); err != nil {
		return 0, fmt.Errorf("%v to %v: %w", from, to, err)
	}
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		return 0, err
	}
	answer := make([]byte, 2048)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 302 ")) || !bytes.Contains(answer[:n], []byte(portalURL)) {
		return 0, fmt.Errorf("%v to %v: no redirect: %q", from, to, answer[:n])
	}
	return time.Since(since), nil
}

func socketAddress(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
