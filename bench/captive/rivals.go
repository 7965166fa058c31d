// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	ours       = "agent"
	nftName    = "nft redirect"
	tproxyName = "tproxy"
	portalPort = 8080
)

// redirectSubject is what most hotspots do: nftables translates the address to a listener
// on the router, which sends the redirect.
var redirectSubject = subject{nftName, func(ctx context.Context, r *router) error {
	script := fmt.Sprintf(`table inet portal {
	chain in {
		type nat hook prerouting priority dstnat;
		iifname %q tcp dport %d redirect to :%d
	}
}
`, lab.Bridge, httpPort, portalPort)
	if err := run(ctx, r.kiosk.Router, script, "nft", "-f", "-"); err != nil {
		return err
	}
	return r.listen(false)
}}

// tproxySubject is the same without translation: the listener takes any address.
var tproxySubject = subject{tproxyName, func(ctx context.Context, r *router) error {
	script := fmt.Sprintf(`table inet portal {
	chain in {
		type filter hook prerouting priority mangle;
		iifname %[1]q meta nfproto ipv4 tcp dport %[2]d tproxy ip to :%[3]d meta mark set 1 accept
		iifname %[1]q meta nfproto ipv6 tcp dport %[2]d tproxy ip6 to :%[3]d meta mark set 1 accept
	}
}
`, lab.Bridge, httpPort, portalPort)
	if err := run(ctx, r.kiosk.Router, script, "nft", "-f", "-"); err != nil {
		return err
	}
	const local = "rule add fwmark 1 lookup 100\nroute add local default dev lo table 100\n"
	for _, family := range []string{"-4", "-6"} {
		if err := run(ctx, r.kiosk.Router, local, "ip", family, "-batch", "-"); err != nil {
			return err
		}
	}
	return r.listen(true)
}}

// listen answers every connection with the redirect, as fast as a small program can.
func (r *router) listen(transparent bool) error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if !transparent {
			return nil
		}
		failed := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
			}
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	config.SetMultipathTCP(false)
	var listener net.Listener
	err := r.kiosk.Router.Do(func() (err error) {
		listener, err = config.Listen(context.Background(), "tcp", fmt.Sprintf("[::]:%d", portalPort))
		return err
	})
	if err != nil {
		return err
	}
	r.onClose(listener.Close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go lead(conn)
		}
	}()
	return nil
}

const page = "HTTP/1.1 302 Found\r\nLocation: " + portalURL + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

func lead(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	request := make([]byte, 4096)
	for at := 0; at < len(request); {
		n, err := conn.Read(request[at:])
		if err != nil {
			return
		}
		if at += n; strings.HasSuffix(string(request[:at]), "\r\n\r\n") {
			_, _ = conn.Write([]byte(page)) // the client counts what arrives
			return
		}
	}
}
