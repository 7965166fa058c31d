// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

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

func press(m tea.Model, key tea.KeyMsg) model {
	next, _ := m.Update(key)
	return next.(model)
}

func TestTopModel(t *testing.T) {
	m := newModel(t.Context(), nil, connectedDevices(10))
	if view := m.View(); !strings.Contains(view, "10 devices connected") || !strings.Contains(view, "3 Mbit/s") || strings.Count(view, "5 MB") != 10 {
		t.Errorf("the view:\n%s", view)
	}
	sized, _ := m.Update(tea.WindowSizeMsg{Width: 40, Height: 7})
	m = sized.(model)
	lines := strings.Split(m.View(), "\n")
	if len(lines) > 7 {
		t.Errorf("%d lines on a screen of 7:\n%s", len(lines), m.View())
	}
	if !strings.Contains(m.View(), "02:00:00:00:00:00") || strings.Contains(m.View(), "02:00:00:00:00:03") {
		t.Errorf("the first three are not shown:\n%s", m.View())
	}
	for range 20 {
		m = press(m, tea.KeyMsg{Type: tea.KeyDown})
	}
	if !strings.Contains(m.View(), "02:00:00:00:00:09") || strings.Contains(m.View(), "02:00:00:00:00:06") {
		t.Errorf("the last three are not shown:\n%s", m.View())
	}
	m = press(press(m, tea.KeyMsg{Type: tea.KeyPgUp}), tea.KeyMsg{Type: tea.KeyUp})
	if m.offset != 3 {
		t.Errorf("offset %d after page up and up, want 3", m.offset)
	}
	failed, _ := m.Update(refreshed{err: errors.New("no agent\nanswers")})
	if view := failed.View(); !strings.Contains(view, "no answer, trying again: no agent answe") || !strings.Contains(view, "10 devices") {
		t.Errorf("without an answer:\n%s", view)
	}
	fewer, _ := failed.Update(refreshed{connected: connectedDevices(1), at: time.Now()})
	if view := fewer.View(); !strings.Contains(view, "1 device connected") || !strings.Contains(view, "02:00:00:00:00:00") {
		t.Errorf("after nine left:\n%s", view)
	}
	for _, key := range []tea.KeyMsg{{Type: tea.KeyRunes, Runes: []rune("q")}, {Type: tea.KeyCtrlC}, {Type: tea.KeyEsc}} {
		if _, cmd := m.Update(key); cmd == nil || cmd() != (tea.QuitMsg{}) {
			t.Errorf("%s does not quit", key)
		}
	}
}
