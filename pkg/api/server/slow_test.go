// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// A subscriber that stops reading is dropped, and continues where it was when it comes back.
func TestDroppedSubscriberResumes(t *testing.T) {
	const total = 2000 // events, more than the socket's buffers hold
	a := startAgent(t, Options{WriteTimeout: time.Second})
	conn, err := net.Dial("unix", a.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(conn)
	if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	err = a.Store.Update(t.Context(), func(tx sessions.Tx) error {
		for range total - 1 {
			if err := tx.AppendEvent(&sessions.Event{Type: sessions.DeviceUpdated, Reason: strings.Repeat("x", 300)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.devices(1) // wakes the subscribers
	sessionstest.WaitFor(t, "the subscriber is dropped", func() bool { return hungUp(t, conn) })

	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); last++ {
		var event api.Event
		if decodeJSON(lines.Text(), &event) != nil {
			break // cut off in the middle
		}
		if event.Seq != last+1 {
			t.Fatalf("event %d follows %d", event.Seq, last)
		}
	}
	if last == 0 || last >= total {
		t.Fatalf("it had %d of %d events when it was dropped", last, total)
	}
	for event, err := range a.client.Events(t.Context(), last) {
		if err != nil {
			t.Fatal(err)
		}
		if last++; event.Seq != last {
			t.Fatalf("event %d follows %d", event.Seq, last-1)
		}
		if last == total {
			return
		}
	}
}

// hungUp reports whether the server closed a connection, without reading of it.
func hungUp(t *testing.T, conn net.Conn) (yes bool) {
	t.Helper()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		on := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		_, _ = unix.Poll(on, 0)
		yes = on[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return yes
}
