// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const bulkChunk = 64 << 10

// The first byte of a connection to a bulk server says what the client wants.
const (
	wantDownload = 'D'
	wantUpload   = 'U'
)

// ServeBulk serves bulk downloads and uploads over TCP on a port of the host,
// IPv4 and IPv6, until the returned function is called.
func (h *Host) ServeBulk(port uint16) (stop func(), err error) {
	return h.ServeBulkWith(port, "")
}

// ServeBulkWith is ServeBulk with a congestion control, such as "cubic" or "bbr";
// "" is the system's.
func (h *Host) ServeBulkWith(port uint16, congestion string) (stop func(), err error) {
	return h.serveBulk(port, func(fd int) error {
		if congestion == "" {
			return nil
		}
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	})
}

// ServeBulkPaced is ServeBulk that sends no faster than bits/s of TCP, headers included,
// on each connection.
func (h *Host) ServeBulkPaced(port uint16, bitsPerSecond int) (stop func(), err error) {
	return h.serveBulk(port, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, bitsPerSecond/8)
	})
}

// serveBulk prepares the listening socket: connections inherit what is set there.
func (h *Host) serveBulk(port uint16, prepare func(fd int) error) (stop func(), err error) {
	listener, err := h.Listen(fmt.Sprintf("[::]:%d", port))
	if err != nil {
		return nil, err
	}
	if err := onSocket(listener.(*net.TCPListener), prepare); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() { answerBulk(ctx, conn) })
		}
	})
	return func() { cancel(); _ = listener.Close(); serving.Wait() }, nil
}

func onSocket(l *net.TCPListener, prepare func(fd int) error) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = prepare(int(fd)) })
	return errors.Join(err, set)
}

func answerBulk(ctx context.Context, conn net.Conn) {
	defer closeWith(ctx, conn)()
	want := make([]byte, 1)
	if _, err := io.ReadFull(conn, want); err != nil {
		return
	}
	if want[0] == wantUpload {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	chunk := make([]byte, bulkChunk)
	for {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

// closeWith closes a connection when ctx ends or the returned function is called.
func closeWith(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return func() { stop(); _ = conn.Close() }
}

// Transfer is a bulk transfer over several TCP connections that lasts until it
// is stopped.
type Transfer struct {
	stop    context.CancelFunc
	flows   sync.WaitGroup
	bytes   atomic.Uint64
	started time.Time
}

// Download starts n connections to a bulk server that receive without end.
func (h *Host) Download(to netip.AddrPort, n int) (*Transfer, error) { return h.Transfer(to, n, 0) }

// Upload starts n connections to a bulk server that send without end.
func (h *Host) Upload(to netip.AddrPort, n int) (*Transfer, error) { return h.Transfer(to, 0, n) }

// Transfer starts connections of both kinds. All are there before any of them moves
// a byte: the first could spend a whole balance meanwhile.
func (h *Host) Transfer(to netip.AddrPort, downloads, uploads int) (*Transfer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &Transfer{stop: cancel, started: time.Now()}
	var conns []net.Conn
	for range downloads + uploads {
		conn, err := h.Dial(ctx, "tcp", to.String())
		if err != nil {
			for _, open := range conns {
				_ = open.Close()
			}
			cancel()
			return nil, fmt.Errorf("%s to %s: %w", h.Name, to, err)
		}
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		want, move := byte(wantDownload), t.receive
		if i >= downloads {
			want, move = wantUpload, t.send
		}
		t.flows.Go(func() {
			defer closeWith(ctx, conn)()
			if _, err := conn.Write([]byte{want}); err == nil {
				move(conn)
			}
		})
	}
	return t, nil
}

func (t *Transfer) receive(conn net.Conn) {
	_, _ = io.Copy(countingWriter{&t.bytes}, conn)
}

func (t *Transfer) send(conn net.Conn) {
	_, _ = io.Copy(io.MultiWriter(conn, countingWriter{&t.bytes}), endless{})
}

// Bytes is the payload received or, of an upload, handed to the kernel up to now.
func (t *Transfer) Bytes() uint64 { return t.bytes.Load() }

// Elapsed is the time since the transfer was started.
func (t *Transfer) Elapsed() time.Duration { return time.Since(t.started) }

// Stop ends the connections.
func (t *Transfer) Stop() {
	t.stop()
	t.flows.Wait()
}

// WaitIdle waits until no byte was transferred for a while, and says whether that
// happened before ctx ended.
func (t *Transfer) WaitIdle(ctx context.Context, idle time.Duration) bool {
	const look = 20 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	last, since := t.Bytes(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if now := t.Bytes(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) >= idle {
			return true
		}
	}
}

type countingWriter struct{ bytes *atomic.Uint64 }

func (w countingWriter) Write(p []byte) (int, error) {
	w.bytes.Add(uint64(len(p)))
	return len(p), nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
