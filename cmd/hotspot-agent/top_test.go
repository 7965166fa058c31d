// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// On a terminal the table is live, and q ends it with status 0.
func TestTopOnATerminal(t *testing.T) {
	k := newKiosk(t)
	k.sell("--type", "time", "--time", "1h")
	k.run("connect", "1").expect(t, exit.Done)
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
