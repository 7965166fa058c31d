// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// UDPOverIPv4 is the length of the headers of a UDP packet.
const UDPOverIPv4 = 28

const (
	udpOverIPv6     = 48
	blastTick       = 500 * time.Microsecond
	sinkBuffer      = 8 << 20
	sequencePayload = 8
	packetPriority  = 10 // of SCHED_FIFO, below that of a delay line
)

// Arrivals is what a Sink received up to one time.
type Arrivals struct {
	Packets uint64
	Bytes   uint64        // of IP packets
	Missing uint64        // sequence numbers below the highest that did not arrive
	First   time.Duration // on CLOCK_BOOTTIME, the kernel's time stamp
	Last    time.Duration // on CLOCK_BOOTTIME, the kernel's time stamp
	// Flowing is the time during which packets came: without the gaps of Silence
	// and longer, of which there were Gaps.
	Flowing time.Duration
	Gaps    int
}

// Silence is the time without a packet from which on a flow counts as interrupted.
const Silence = 200 * time.Millisecond

// BitsPerSecond is the speed between two Arrivals of one Sink, from packet to packet.
func (a Arrivals) BitsPerSecond(later Arrivals) float64 {
	return float64(later.Bytes-a.Bytes) * 8 / (later.Last - a.Last).Seconds()
}

// Sink counts the UDP packets that a Blast sends to it. What counts is when the kernel received
// a packet, by its time stamp: all methods first take in what the kernel has, so that they do
// not depend on when the machine lets the sink run.
type Sink struct {
	socket  *os.File // a thread waits for it, not the runtime's poller
	headers uint64
	closing atomic.Bool
	done    chan struct{}

	mu      sync.Mutex // also of the memory that packets are read into
	payload []byte
	control []byte
	got     Arrivals
	highest uint64 // sequence number
	stamps  []Stamp
	keep    bool // stamps
}

// Stamp is when a packet of a Blast arrived, on CLOCK_BOOTTIME.
type Stamp struct {
	Sequence uint64
	At       time.Duration
}

// Keep has the sink keep the stamps of all packets from now on.
func (s *Sink) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeIn(math.MaxInt)
	s.keep = true
}

// Stamps returns what was kept, in the order of arrival.
func (s *Sink) Stamps() []Stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeIn(math.MaxInt)
	return slices.Clone(s.stamps)
}

// Sink starts a sink on a UDP port of all addresses of one family of the host.
func (h *Host) Sink(network string, port uint16) (*Sink, error) {
	address, headers := "0.0.0.0", uint64(UDPOverIPv4)
	if network == "udp6" {
		address, headers = "::", udpOverIPv6
	}
	conn, err := h.ListenPacket(netip.AddrPortFrom(netip.MustParseAddr(address), port).String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	err = errors.Join(
		setOption(conn, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		setOption(conn, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sinkBuffer),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare the sink: %w", err)
	}
	s := &Sink{headers: headers, done: make(chan struct{}), payload: make([]byte, 65536), control: make([]byte, 256)}
	if s.socket, err = conn.File(); err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

func (s *Sink) run() {
	defer close(s.done)
	_ = onThrowawayThread(func() error {
		realTime(packetPriority)
		const batch, timeout = 64, 100 // packets, ms
		wait := []unix.PollFd{{Fd: int32(s.socket.Fd()), Events: unix.POLLIN}}
		for !s.closing.Load() {
			if _, err := unix.Poll(wait, timeout); err != nil && err != unix.EINTR {
				return err
			}
			s.mu.Lock()
			s.takeIn(batch)
			s.mu.Unlock()
		}
		return nil
	})
}

// takeIn counts what the kernel has received and the sink has not read, at most as many
// packets. The caller holds mu.
func (s *Sink) takeIn(most int) {
	for range most {
		n, nc, _, _, err := unix.Recvmsg(int(s.socket.Fd()), s.payload, s.control, unix.MSG_DONTWAIT)
		if err == unix.EINTR || err == unix.ECONNREFUSED {
			continue
		}
		if err != nil {
			return
		}
		s.count(s.payload[:n], stampOf(s.control[:nc]))
	}
}

func setOption(conn *net.UDPConn, level, option, value int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, option, value) })
	return errors.Join(err, set)
}

func stampOf(control []byte) time.Duration {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return Boottime()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			seconds, nanoseconds := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return BoottimeOf(time.Unix(int64(seconds), int64(nanoseconds)))
		}
	}
	return Boottime()
}

func (s *Sink) count(payload []byte, at time.Duration) {
	switch gap := at - s.got.Last; {
	case s.got.Packets == 0:
		s.got.First = at
	case gap >= Silence:
		s.got.Gaps++
	default:
		s.got.Flowing += gap
	}
	s.got.Packets++
	s.got.Bytes += uint64(len(payload)) + s.headers
	s.got.Last = at
	if len(payload) >= sequencePayload {
		sequence := binary.BigEndian.Uint64(payload)
		s.highest = max(s.highest, sequence)
		if s.keep {
			s.stamps = append(s.stamps, Stamp{sequence, at})
		}
	}
}

// Read returns what the kernel received up to now.
func (s *Sink) Read() Arrivals {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeIn(math.MaxInt)
	got := s.got
	if got.Packets > 0 {
		got.Missing = s.highest + 1 - got.Packets
	}
	return got
}

// Close stops the sink. A second call returns os.ErrClosed.
func (s *Sink) Close() error {
	s.closing.Store(true)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.socket.Close()
}

// Blast sends UDP packets of ipBytes (headers included) at bits/s of IP packets
// from the host to a sink, until ctx ends. It returns how many were sent; the
// first carries sequence number 0. The sender has priority over other programs,
// so that its gaps are not taken for the network's.
func (h *Host) Blast(ctx context.Context, to netip.AddrPort, bitsPerSecond float64, ipBytes int) (sent uint64, err error) {
	headers := UDPOverIPv4
	if to.Addr().Is6() {
		headers = udpOverIPv6
	}
	if ipBytes < headers+sequencePayload {
		return 0, fmt.Errorf("a packet of %d bytes has no room for a sequence number", ipBytes)
	}
	conn, err := h.Dial(ctx, "udp", to.String())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	payload := make([]byte, ipBytes-headers)
	perSecond := bitsPerSecond / 8 / float64(ipBytes)
	err = onThrowawayThread(func() error {
		realTime(packetPriority)
		sent, err = blast(ctx, conn, payload, perSecond)
		return err
	})
	return sent, err
}

// realTime lets the thread run as soon as it wakes, whatever else the machine does: what it
// measures is the network's time. The thread must sleep between packets.
func realTime(priority uint32) {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}
	if unix.SchedSetAttr(0, &attr, 0) != nil {
		raisePriority() // where real time is not allowed: later, which the figures show
	}
}

// raisePriority gives the thread priority over other programs.
func raisePriority() {
	const highest = -20
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), highest) // it only helps
}

func blast(ctx context.Context, conn net.Conn, payload []byte, perSecond float64) (sent uint64, err error) {
	tick := unix.NsecToTimespec(int64(blastTick))
	for start := Boottime(); ctx.Err() == nil; _ = unix.Nanosleep(&tick, nil) {
		for due := uint64((Boottime()-start).Seconds()*perSecond) + 1; sent < due; sent++ {
			binary.BigEndian.PutUint64(payload, sent)
			// The kernel reports an ICMP error on the next write, which it does not send.
			if _, err := conn.Write(payload); err != nil {
				if _, err = conn.Write(payload); err != nil {
					return sent, err
				}
			}
		}
	}
	return sent, nil
}

// ServeEcho answers every UDP packet on a port of the host with itself, until the
// returned function is called.
func (h *Host) ServeEcho(port uint16) (stop func(), err error) {
	conn, err := h.ListenPacket(fmt.Sprintf("[::]:%d", port))
	if err != nil {
		return nil, err
	}
	if err := setOption(conn, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
		_ = conn.Close()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer, control := make([]byte, 65536), make([]byte, 256)
		for {
			n, nc, _, from, err := conn.ReadMsgUDPAddrPort(buffer, control)
			if err != nil {
				return // closed
			}
			// The control message names the address that was asked: it answers.
			_, _, _ = conn.WriteMsgUDPAddrPort(buffer[:n], control[:nc], from)
		}
	}()
	return func() { _ = conn.Close(); <-done }, nil
}

// Ping sends UDP packets of 64 bytes to an echo server, one after another, and
// returns how many of n were answered within the wait.
func (h *Host) Ping(to netip.AddrPort, n int, wait time.Duration) (answered int, err error) {
	conn, err := h.Dial(context.Background(), "udp", to.String())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 64)
	for i := range n {
		binary.BigEndian.PutUint64(buffer, uint64(i))
		if _, err := conn.Write(buffer); err != nil {
			continue // refused or unreachable: not answered
		}
		if awaitEcho(conn, uint64(i), time.Now().Add(wait)) {
			answered++
		}
	}
	return answered, nil
}

func awaitEcho(conn net.Conn, sequence uint64, until time.Time) bool {
	buffer := make([]byte, 64)
	_ = conn.SetReadDeadline(until)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return false
		}
		if n == len(buffer) && binary.BigEndian.Uint64(buffer) == sequence {
			return true
		}
	}
}
