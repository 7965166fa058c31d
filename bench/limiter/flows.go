// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	bulkPort  = 9001
	bulkChunk = 64 << 10
	binLength = 100 * time.Millisecond
)

// bins are bytes by the time of their arrival.
type bins []uint64

// add counts bytes that came some time after the first byte.
func (b *bins) add(at time.Duration, bytes int) {
	i := max(0, int(at/binLength))
	for len(*b) <= i {
		*b = append(*b, 0)
	}
	(*b)[i] += uint64(bytes)
}

// between sums up the bytes of a period. Both ends are multiples of binLength.
func (b bins) between(from, to time.Duration) (sum uint64) {
	for i := int(from / binLength); i < min(len(b), int(to/binLength)); i++ {
		sum += b[i]
	}
	return sum
}

// flow is a TCP connection through the limiter that sends as much as it can.
type flow struct {
	sender, receiver net.Conn
	arrived          bins
	// What the sender's kernel counted, at the start of the steady part and at its end.
	before, after *unix.TCPInfo
}

// retransmitted is how many bytes the flow sent in the steady part, and how many of
// them again.
func (f *flow) retransmitted() (sent, again uint64) {
	return f.after.Bytes_sent - f.before.Bytes_sent, f.after.Bytes_retrans - f.before.Bytes_retrans
}

// flows are the connections of a cell.
type flows []*flow

// connect opens the flows of a cell; none of them sends yet. The customer calls.
func connect(ctx context.Context, k *lab.Kiosk, c cell) (all flows, err error) {
	listener, err := k.Server.Listen(fmt.Sprintf("[::]:%d", bulkPort))
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	for _, congestion := range c.flows {
		customer, err := k.Customers[0].Dial(ctx, "tcp", netip.AddrPortFrom(k.Server.Addr4, bulkPort).String())
		if err != nil {
			return all, err
		}
		server, err := listener.Accept()
		if err != nil {
			return all, errors.Join(err, customer.Close())
		}
		f := &flow{sender: server, receiver: customer}
		if c.up {
			f.sender, f.receiver = customer, server
		}
		all = append(all, f)
		err = control(f.sender, func(fd int) error {
			return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
		})
		if err != nil {
			return all, fmt.Errorf("congestion control %s: %w", congestion, err)
		}
	}
	return all, nil
}

func control(conn net.Conn, f func(fd int) error) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

// run has the flows send from the time at which the first byte is expected, for a while,
// and closes them.
func (all flows) run(ctx context.Context, first time.Time, lasts time.Duration) error {
	var moving sync.WaitGroup
	for _, f := range all {
		moving.Go(func() { f.send() })
		moving.Go(func() { f.receive(first) })
	}
	err := all.inform(ctx, first.Add(settling), func(f *flow, i *unix.TCPInfo) { f.before = i })
	if err == nil {
		err = all.inform(ctx, first.Add(lasts), func(f *flow, i *unix.TCPInfo) { f.after = i })
	}
	all.close()
	moving.Wait()
	return err
}

func (f *flow) send() {
	chunk := make([]byte, bulkChunk)
	for {
		if _, err := f.sender.Write(chunk); err != nil {
			return // closed
		}
	}
}

func (f *flow) receive(first time.Time) {
	chunk := make([]byte, bulkChunk)
	for {
		n, err := f.receiver.Read(chunk)
		if err != nil {
			return // closed
		}
		f.arrived.add(time.Since(first), n)
	}
}

// inform reads TCP_INFO of the senders at a given time.
func (all flows) inform(ctx context.Context, at time.Time, keep func(*flow, *unix.TCPInfo)) error {
	if err := wait.For(ctx, time.Until(at)); err != nil {
		return err
	}
	for _, f := range all {
		err := control(f.sender, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			keep(f, info)
			return err
		})
		if err != nil {
			return fmt.Errorf("tcp_info: %w", err)
		}
	}
	return nil
}

// close drops what is still on its way.
func (all flows) close() {
	for _, f := range all {
		for _, conn := range []net.Conn{f.sender, f.receiver} {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}
}
