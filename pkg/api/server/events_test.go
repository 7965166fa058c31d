// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// open starts a stream and returns its body.
func (a *testAgent) open(path string, header http.Header) (*http.Response, *bufio.Reader) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	answer, err := wire.SocketTransport(a.Socket(), 0).RoundTrip(request)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { wire.CloseQuietly(answer.Body) })
	return answer, bufio.NewReader(answer.Body)
}

func (a *testAgent) devices(n int) {
	a.t.Helper()
	for i := range n {
		apitest.Must(a.client.CreateDevice(a.t.Context(), api.NewDevice{MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256)}))(a.t)
	}
}

func TestEventsAreReplayedThenFollowed(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(3)
	answer, lines := a.open("/v1/events?after=1", nil)
	if got := answer.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type is %q", got)
	}
	want := func(seq int64, kind sessions.EventType) {
		t.Helper()
		line, err := lines.ReadString('\n')
		var event api.Event
		if err != nil || decodeJSON(line, &event) != nil || event.Seq != seq || event.Type != kind {
			t.Fatalf("line is %q, %v; want event %d %s", line, err, seq, kind)
		}
	}
	want(2, sessions.DeviceCreated)
	want(3, sessions.DeviceCreated)
	a.sell("1")
	want(4, sessions.SessionCreated)
}

func TestEventsForBrowsersOfEventStreams(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(2)
	answer, lines := a.open("/v1/events", http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {"1"}})
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type is %q", got)
	}
	for _, want := range []string{"id: 2\n", "event: device.created\n", `data: {"seq":2,`, "\n"} {
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("line is %q, %v; want %q", line, err, want)
		}
	}
}

func TestStoredEventsEnd(t *testing.T) {
	a := startAgent(t, Options{})
	if events := apitest.Must(a.client.StoredEvents(t.Context(), 0))(t); len(events) != 0 {
		t.Errorf("events are %+v, want none", events)
	}
	a.devices(eventPage + 3) // more than are read at a time
	events := apitest.Must(a.client.StoredEvents(t.Context(), 2))(t)
	if len(events) != eventPage+1 || events[0].Seq != 3 || events[eventPage].Seq != eventPage+3 {
		t.Errorf("%d events from %+v, want %d from 3", len(events), events[:1], eventPage+1)
	}
}

// A quiet stream says something that is no event: a client that is gone is noticed,
// and no reader of lines is disturbed.
func TestQuietStreamsBeat(t *testing.T) {
	a := startAgent(t, Options{Heartbeat: 5 * time.Millisecond})
	_, lines := a.open("/v1/events", nil)
	if b, err := lines.Peek(2); err != nil || string(b) != "  " {
		t.Errorf("heartbeat is %q, %v; want spaces", b, err)
	}
	a.devices(1)
	line, err := lines.ReadString('\n')
	var event api.Event
	if err != nil || decodeJSON(line, &event) != nil || event.Seq != 1 {
		t.Errorf("after heartbeats the line is %q, %v", line, err)
	}
	_, sse := a.open("/v1/events?after=1", http.Header{"Accept": {"text/event-stream"}})
	if line, err := sse.ReadString('\n'); err != nil || !strings.HasPrefix(line, ":") {
		t.Errorf("heartbeat is %q, %v; want a comment", line, err)
	}
}

// One client that never reads blocks no other, and is dropped: the others get on as they
// did without it, whatever the machine has to do besides.
func TestSlowClientBlocksNoOther(t *testing.T) {
	const alone, total = 300, 3000 // updates
	a := startAgent(t, Options{WriteTimeout: 100 * time.Millisecond})
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	long := strings.Repeat("x", 200)
	rename := func(ctx context.Context, i int) error {
		name := fmt.Sprint(long, i)
		_, err := a.client.UpdateDevice(ctx, "1", api.DevicePatch{Hostname: &name})
		return err
	}
	started := time.Now()
	for i := range alone {
		if err := rename(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	patience := max(30*time.Second, 3*total/alone*time.Since(started))
	slow, err := net.Dial("unix", a.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseQuietly(slow)
	if _, err := io.WriteString(slow, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		for i := range total {
			_ = rename(ctx, alone+i)
		}
	}()
	const events = 1 + alone + total
	last := int64(0)
	for event, err := range a.client.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Seq != last+1 {
			t.Fatalf("event %d follows %d", event.Seq, last)
		}
		if last = event.Seq; last == events {
			break
		}
	}
	if last != events {
		t.Fatalf("the quick client got %d events within %s, want %d", last, patience, events)
	}
	sessionstest.WaitFor(t, "the slow client is dropped", func() bool {
		return strings.Contains(a.log.String(), "events") || streamBroke(slow)
	})
}

// streamBroke reads what is there, and reports whether the server hung up.
func streamBroke(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// An agent that restarts costs a client of the events nothing.
func TestClientResumesAfterARestart(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(2)
	var seqs []int64
	for event, err := range a.client.Events(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seqs = append(seqs, event.Seq); len(seqs) == 2 {
			a.stop()
			a.start()
			a.sell("1")
		}
		if len(seqs) == 3 {
			break
		}
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, seqs); diff != "" {
		t.Error(diff)
	}
}

func TestEventsEndWithTheContext(t *testing.T) {
	a := startAgent(t, Options{})
	a.devices(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range a.client.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	for event, err := range api.NewClient(a.Socket()+".not").Events(ctx, 0) {
		t.Errorf("an ended context yields %+v, %v", event, err)
	}
}

func TestEventsWithoutAnAgentFail(t *testing.T) {
	var got error
	for _, err := range api.NewClient(t.TempDir()+"/none").Events(t.Context(), 0) {
		got = err
	}
	apitest.WantCode(t, got, sessions.Unavailable, "no agent answers")
}
