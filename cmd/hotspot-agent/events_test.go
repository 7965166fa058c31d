// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// following is a call of events that has not ended.
type following struct {
	*testing.T
	out    io.Reader
	lines  *bufio.Scanner
	cancel context.CancelFunc
	status chan int
	stderr *bytes.Buffer
}

func (k *kiosk) follow(args ...string) *following {
	ctx, cancel := context.WithCancel(k.Context())
	reader, writer := io.Pipe()
	f := &following{T: k.T, out: reader, lines: bufio.NewScanner(reader), cancel: cancel, status: make(chan int, 1), stderr: &bytes.Buffer{}}
	go func() {
		f.status <- run(ctx, append([]string{"events", "--socket", k.socket}, args...), noEnv, writer, f.stderr)
		_ = writer.Close()
	}()
	k.Cleanup(cancel)
	return f
}

func (f *following) next() api.Event {
	f.Helper()
	if !f.lines.Scan() {
		f.Fatalf("the events ended: %s", f.stderr)
	}
	var e api.Event
	if err := json.Unmarshal(f.lines.Bytes(), &e); err != nil {
		f.Fatalf("%q is not one JSON object: %v", f.lines.Text(), err)
	}
	return e
}

func (f *following) end() {
	f.Helper()
	f.cancel()
	go func() { _, _ = io.Copy(io.Discard, f.out) }() // what it still prints
	if status := <-f.status; status != exit.Done || f.stderr.Len() > 0 {
		f.Errorf("exit status %d after an interrupt: %s", status, f.stderr)
	}
}

// The stored events come first, then those that happen, and a restart of the agent
// is not noticed: no number is missing, none comes twice.
func TestEventsFollowAcrossARestart(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	f := k.follow()
	created, sold := f.next(), f.next()
	if created.Type != sessions.DeviceCreated || sold.Type != sessions.SessionCreated {
		t.Errorf("first %+v, then %+v", created, sold)
	}
	k.run("connect", "1", "--notify", "a <b> & c").expect(t, exit.Done)
	for e := f.next(); e.Type != sessions.ClientConnected; e = f.next() {
		if e.Seq > 20 {
			t.Fatal("client.connected never came")
		}
	}
	if text := f.lines.Text(); !strings.Contains(text, `"a <b> & c"`) {
		t.Errorf("the text is changed: %s", text)
	}
	last := decode[api.AgentStatus](t, k.run("status", "--json")).Counts.LastEvent

	k.stopServer()
	if _, err := k.manager.Disconnect(t.Context(), 1, ""); err != nil {
		t.Fatal(err)
	}
	k.serve()
	for e := f.next(); ; e = f.next() {
		if last++; e.Seq != last {
			t.Fatalf("event %d after %d", e.Seq, last-1)
		}
		if e.Type == sessions.ClientDisconnected {
			break
		}
	}
	f.end()

	after := k.follow("--after", "1")
	if e := after.next(); e.Seq != 2 {
		t.Errorf("--after 1 begins with %d", e.Seq)
	}
	after.end()
}

func TestEventsNew(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	last := decode[api.AgentStatus](t, k.run("status", "--json")).Counts.LastEvent
	f := k.follow("--new")
	// It may not be listening yet; what it asked for first decides where it begins.
	go func() {
		for k.Context().Err() == nil && len(f.status) == 0 {
			_, _ = k.manager.CreateSession(k.Context(), sessions.SessionSpec{Device: 1, Type: sessions.Data, Bytes: 1000})
		}
	}()
	if e := f.next(); e.Seq <= last {
		t.Errorf("--new begins with %d, %d was old", e.Seq, last)
	}
	f.end()
}
