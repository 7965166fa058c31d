// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
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

func press(m tea.Model, key tea.KeyMsg) topModel {
	next, _ := m.Update(key)
	return next.(topModel)
}

func TestTopModel(t *testing.T) {
	m := newTopModel(t.Context(), nil, connectedDevices(10))
	if view := m.View(); !strings.Contains(view, "10 devices connected") || !strings.Contains(view, "3 Mbit/s") || strings.Count(view, "5 MB") != 10 {
		t.Errorf("the view:\n%s", view)
	}
	sized, _ := m.Update(tea.WindowSizeMsg{Width: 40, Height: 7})
	m = sized.(topModel)
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

// On a terminal the table is live, and q ends it with status 0.
func TestTopOnATerminal(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	k.run("connect", "1").expect(t, exitDone)
	screen, terminal := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), program(t), "top", "--socket", k.socket)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := readAlong(screen)
	sessionstest.WaitFor(t, "the table", func() bool { return strings.Contains(shown(), phone.String()) })
	k.clock.Advance(10 * time.Second)
	sessionstest.WaitFor(t, "a refresh", func() bool { return strings.Contains(shown(), "59m 50s") })
	if _, err := screen.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after q: %v\n%q", err, shown())
	}
}

// openTerminal makes a pseudo terminal, pty(7): what is written to one end is read
// from the other.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 160})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return screen, terminal
}

// readAlong collects what is shown, and answers nothing.
func readAlong(screen io.Reader) (shown func() string) {
	var mu sync.Mutex
	var text bytes.Buffer
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := screen.Read(buffer)
			mu.Lock()
			text.Write(buffer[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

// Only top talks to the terminal; any other command prints what it has to say.
func TestNothingElseQuestionsTheTerminal(t *testing.T) {
	screen, terminal := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), program(t), "completion", "frobnicate")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	shown := readAlong(screen)
	_ = cmd.Run() // a usage error, so that there is an end to wait for
	sessionstest.WaitFor(t, "the line", func() bool { return strings.Contains(shown(), "\n") })
	if strings.Contains(shown(), "\x1b") {
		t.Errorf("it wrote %q", shown())
	}
}
