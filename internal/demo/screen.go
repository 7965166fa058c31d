// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// plainProgress is how often progress gets a line where lines cannot be replaced.
const plainProgress = 5 * time.Second

// screen prints the story. A promise that was not kept is counted.
type screen struct {
	out          *os.File
	terminal     bool
	progressing  bool // the cursor stands on a progress line
	lastProgress time.Time
	kept, missed int
}

func newScreen(out *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &screen{out: out, terminal: err == nil}
}

// scene begins a part of the day.
func (s *screen) scene(format string, args ...any) {
	s.line("")
	s.line(fmt.Sprintf(format, args...))
}

func (s *screen) say(format string, args ...any) { s.scene(format, args...) }

// detail adds a line to the scene.
func (s *screen) detail(format string, args ...any) { s.line("   " + fmt.Sprintf(format, args...)) }

// command shows a call of the command line.
func (s *screen) command(args []string) { s.line("   $ hotspot-agent " + strings.Join(args, " ")) }

// promise shows a measured figure and whether it is what was promised.
func (s *screen) promise(kept bool, format string, args ...any) {
	mark := "✓"
	if kept {
		s.kept++
	} else {
		s.missed++
		mark = "✗ MISSED:"
	}
	s.line("   " + mark + " " + fmt.Sprintf(format, args...))
}

// progress says how far something slow is: in place on a terminal, else now and then.
func (s *screen) progress(format string, args ...any) {
	text := "   … " + fmt.Sprintf(format, args...)
	if s.terminal {
		fmt.Fprintf(s.out, "\r\x1b[K%s", text)
		s.progressing = true
		return
	}
	if time.Since(s.lastProgress) >= plainProgress {
		s.lastProgress = time.Now()
		fmt.Fprintln(s.out, text)
	}
}

func (s *screen) line(text string) {
	if s.progressing {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.progressing = false
	}
	s.lastProgress = time.Now()
	fmt.Fprintln(s.out, text)
}

// grouped writes a number with commas, as people read bytes: 20,000,000.
func grouped(n uint64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
