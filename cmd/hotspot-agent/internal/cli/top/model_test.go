// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func connectedDevices(n int) []api.DeviceStatus {
	all := make([]api.DeviceStatus, n)
	for i := range all {
		all[i] = api.DeviceStatus{
			Device: api.Device{ID: int64(i + 1), MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), Hostname: "phone"}, Connected: true,
			Session: &api.Session{Type: "data", RemainingBytes: 5_000_000}, Traffic: api.Traffic{DownBPS: 3_000_000},
		}
	}
	return all
}

func press(t *testing.T, m model, keys ...key) model {
	t.Helper()
	for _, k := range keys {
		var quit bool
		if m, quit = m.pressed(k); quit {
			t.Fatalf("key %d quits", k)
		}
	}
	return m
}

func TestTopModel(t *testing.T) {
	m := model{connected: connectedDevices(10), at: time.Now()}
	if view := m.view(); !strings.Contains(view, "10 devices connected") || !strings.Contains(view, "3 Mbit/s") || strings.Count(view, "5 MB") != 10 {
		t.Errorf("the view:\n%s", view)
	}
	m = m.resized(40, 7)
	lines := strings.Split(m.view(), "\n")
	if len(lines) > 7 {
		t.Errorf("%d lines on a screen of 7:\n%s", len(lines), m.view())
	}
	if !strings.Contains(m.view(), "02:00:00:00:00:00") || strings.Contains(m.view(), "02:00:00:00:00:03") {
		t.Errorf("the first three are not shown:\n%s", m.view())
	}
	for range 20 {
		m = press(t, m, keyDown)
	}
	if !strings.Contains(m.view(), "02:00:00:00:00:09") || strings.Contains(m.view(), "02:00:00:00:00:06") {
		t.Errorf("the last three are not shown:\n%s", m.view())
	}
	if m = press(t, m, keyPageUp, keyUp); m.offset != 3 {
		t.Errorf("offset %d after page up and up, want 3", m.offset)
	}
	failed := m.refreshed(answer{err: errors.New("no agent\nanswers")})
	if view := failed.view(); !strings.Contains(view, "no answer, trying again: no agent answe") || !strings.Contains(view, "10 devices") {
		t.Errorf("without an answer:\n%s", view)
	}
	fewer := failed.refreshed(answer{connected: connectedDevices(1), at: time.Now()})
	if view := fewer.view(); !strings.Contains(view, "1 device connected") || !strings.Contains(view, "02:00:00:00:00:00") {
		t.Errorf("after nine left:\n%s", view)
	}
}

func TestKeys(t *testing.T) {
	for input, want := range map[string][]key{
		"q": {keyQuit}, "\x03": {keyQuit}, "\x1b": {keyQuit},
		"\x1b[A\x1b[B": {keyUp, keyDown}, "kj ": {keyUp, keyDown, keyPageDown}, "\x1b[5~\x1b[6~": {keyPageUp, keyPageDown},
		"\x1bOB": {keyDown}, "x\x1b[Hq": {keyQuit}, "": nil,
	} {
		if got := parseKeys([]byte(input)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", input, got, want)
		}
	}
}
