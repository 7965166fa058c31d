// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	gardenDomain  = "pay.example"
	gardenNetwork = "45.64.0.0/16" // an address for each name
	gardenPort    = 443
	// A SYN that was lost is sent again after a second; one that was refused is not.
	lostAfter  = 500 * time.Millisecond
	resolverUp = 5 * time.Second
	boundLost  = 20
)

// gardenRules let devices that have not paid reach what dnsmasq enters into a set.
const gardenRules = `table inet garden {
	set open { type ipv4_addr; }
	chain forward {
		type filter hook forward priority 0;
		iifname "` + lab.Bridge + `" ct state established,related accept
		iifname "` + lab.Bridge + `" ip daddr @open accept
		iifname "` + lab.Bridge + `" drop
	}
}
`

// gardens has devices connect to the address of a name as soon as they have the answer, for
// many names: whether the router lets the first packet pass. The devices take turns, as the
// DNS of each is limited.
func (p plan) gardens(ctx context.Context, routers []*router, out *report.Report) error {
	for _, r := range routers {
		var set []string
		switch r.subject {
		case nftName:
			if err := run(ctx, r.kiosk.Router, gardenRules, "nft", "-f", "-"); err != nil {
				return err
			}
			set = []string{"--nftset=/" + gardenDomain + "/4#inet#garden#open"}
		case ours:
		default:
			continue
		}
		lost, err := r.garden(ctx, p.names, set)
		if err != nil {
			return fmt.Errorf("%s: %w", r.subject, err)
		}
		row := report.Row{Study: study, Cell: fmt.Sprintf("%d names", p.names), Subject: r.subject, Metric: "first SYN to a garden name lost", Value: float64(lost)}
		if r.subject == ours {
			row.Goal, row.Bound = report.AtMost(0), report.AtMost(boundLost)
		} else {
			row.Subject = "dnsmasq nftset"
		}
		out.Add(row)
	}
	return nil
}

// garden counts the names whose first SYN did not pass.
func (r *router) garden(ctx context.Context, names int, resolver []string) (lost int, err error) {
	if err := run(ctx, r.kiosk.Server, "route add local "+gardenNetwork+" dev lo\n", "ip", "-batch", "-"); err != nil {
		return 0, err
	}
	services, err := r.serveGarden()
	if err != nil {
		return 0, err
	}
	defer services()
	stop, err := r.resolve(resolver)
	if err != nil {
		return 0, err
	}
	defer stop()
	err = r.kiosk.Customers[0].Do(func() error {
		devices := r.crowd[false]
		if err := awaitResolver(devices[0]); err != nil {
			return err
		}
		for i := range names {
			from := devices[i%len(devices)]
			addr, err := lookUp(from, i+1, resolverUp)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return fmt.Errorf("name %d: %w", i+1, err)
			}
			if !reaches(from, netip.AddrPortFrom(addr, gardenPort)) {
				lost++
			}
		}
		return nil
	})
	return lost, err
}

// serveGarden is the names' server and their DNS, on the internet.
func (r *router) serveGarden() (stop func(), err error) {
	listener, err := r.kiosk.Server.Listen(fmt.Sprintf("0.0.0.0:%d", gardenPort))
	if err != nil {
		return nil, err
	}
	dns, err := r.kiosk.Server.ListenPacket(fmt.Sprintf("%s:%d", lab.Server4, dnsPort))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			_ = conn.Close()
		}
	}()
	go answerNames(dns)
	return func() { _, _ = listener.Close(), dns.Close() }, nil
}

// resolve starts the router's DNS.
func (r *router) resolve(more []string) (stop func(), err error) {
	args := append([]string{"--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll", "--cache-size=0", "--user=root", "--pid-file=",
		"--bind-interfaces", "--listen-address=" + lab.RouterLAN4, "--server=" + lab.Server4}, more...)
	cmd := r.kiosk.Router.Command("dnsmasq", args...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { _, _ = cmd.Process.Kill(), cmd.Wait() }, nil
}

func awaitResolver(from netip.Addr) error {
	const try = 100 * time.Millisecond
	for begin := time.Now(); ; {
		_, err := lookUp(from, 0, try)
		if err == nil || time.Since(begin) > resolverUp {
			return err
		}
		time.Sleep(try / 10)
	}
}

const (
	dnsHeader  = 12
	typeA      = 1
	classIN    = 1
	queryFlags = 0x0100 // recursion is wanted
	replyFlags = 0x8180
)

func nameOf(i int) string { return fmt.Sprintf("n%d.%s", i, gardenDomain) }

// lookUp asks the router for the address of a name by RFC 1035.
func lookUp(from netip.Addr, i int, patience time.Duration) (addr netip.Addr, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return addr, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, socketAddress(netip.AddrPortFrom(from, 0))); err != nil {
		return addr, err
	}
	query := make([]byte, dnsHeader)
	binary.BigEndian.PutUint16(query, uint16(i))
	binary.BigEndian.PutUint16(query[2:], queryFlags)
	query[5] = 1 // question
	for label := range strings.SplitSeq(nameOf(i), ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0, 0, typeA, 0, classIN)
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return addr, err
	}
	router := netip.AddrPortFrom(netip.MustParseAddr(lab.RouterLAN4), dnsPort)
	if err := unix.Sendto(fd, query, 0, socketAddress(router)); err != nil {
		return addr, err
	}
	answer := make([]byte, 512)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err == nil && n < len(query)+4 {
		err = fmt.Errorf("a DNS answer of %d bytes", n)
	}
	if err != nil {
		return addr, err
	}
	return netip.AddrFrom4([4]byte(answer[n-4 : n])), nil
}

// answerNames says that the address of name i is the i-th of the network.
func answerNames(dns *net.UDPConn) {
	query := make([]byte, 512)
	for {
		n, from, err := dns.ReadFromUDPAddrPort(query)
		if err != nil {
			return // closed
		}
		var i int
		if n < dnsHeader+2 {
			continue
		}
		if _, err := fmt.Sscanf(string(query[dnsHeader+1:n]), "n%d", &i); err != nil {
			continue
		}
		const ttl = 60
		end := dnsHeader + strings.IndexByte(string(query[dnsHeader:n]), 0) + 5
		reply := append([]byte(nil), query[:end]...)
		binary.BigEndian.PutUint16(reply[2:], replyFlags)
		copy(reply[4:], []byte{0, 1, 0, 1, 0, 0, 0, 0})
		addr := netip.MustParsePrefix(gardenNetwork).Addr().As4()
		binary.BigEndian.PutUint16(addr[2:], uint16(i+1))
		reply = append(reply, 0xc0, dnsHeader, 0, typeA, 0, classIN, 0, 0, 0, ttl, 0, 4)
		_, _ = dns.WriteToUDPAddrPort(append(reply, addr[:]...), from) // the client asks again
	}
}

// reaches says whether the first SYN was answered, and not by a reset.
func reaches(from netip.Addr, to netip.AddrPort) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.NsecToTimeval(int64(lostAfter))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	return errors.Join(unix.Bind(fd, socketAddress(netip.AddrPortFrom(from, 0))), unix.Connect(fd, socketAddress(to))) == nil
}
