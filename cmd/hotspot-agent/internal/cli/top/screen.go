// SPDX-License-Identifier: Apache-2.0

package top

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// screen is the alternate screen of a terminal in raw mode.
type screen struct {
	in, out *os.File
	before  *unix.Termios
}

// openScreen leaves the terminal as it was when it fails; close restores it.
func openScreen(in, out *os.File) (*screen, error) {
	before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	raw := *before
	// Byte by byte, without echo, Ctrl-C as a key; output is processed as before.
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	_, _ = out.WriteString("\x1b[?1049h\x1b[?25l") // alternate screen, no cursor
	return &screen{in, out, before}, nil
}

func (s *screen) close() {
	_, _ = s.out.WriteString("\x1b[?25h\x1b[?1049l")
	_ = unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETS, s.before)
}

// size is 0, 0 when the terminal does not know it.
func (s *screen) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// draw replaces what is shown, line by line, so that nothing flickers.
func (s *screen) draw(text string) {
	text = strings.ReplaceAll(text, "\n", "\x1b[K\r\n")
	_, _ = s.out.WriteString("\x1b[H" + text + "\x1b[K\x1b[J") // a terminal that is gone ends in.Read
}

// key is a key that the table knows.
type key int

const (
	keyQuit key = iota + 1
	keyUp
	keyDown
	keyPageUp
	keyPageDown
)

// sequences are what terminals send for the keys; longer ones first. The escape key is a
// lone ESC: the first byte of the others.
var sequences = []struct {
	bytes string
	key   key
}{
	{"\x1b[5~", keyPageUp}, {"\x1b[6~", keyPageDown},
	{"\x1b[A", keyUp}, {"\x1b[B", keyDown}, {"\x1bOA", keyUp}, {"\x1bOB", keyDown},
	{"k", keyUp}, {"j", keyDown}, {" ", keyPageDown},
	{"q", keyQuit}, {"\x03", keyQuit},
}

// keys sends the keys that are pressed. Its goroutine ends with the terminal.
func (s *screen) keys() <-chan key {
	pressed := make(chan key)
	go func() {
		for buffer := make([]byte, 64); ; {
			n, err := s.in.Read(buffer)
			if err != nil {
				pressed <- keyQuit
				return
			}
			for _, k := range parseKeys(buffer[:n]) {
				pressed <- k
			}
		}
	}()
	return pressed
}

// parseKeys skips what is none of the keys.
func parseKeys(input []byte) (keys []key) {
	if bytes.Equal(input, []byte{0x1b}) {
		return []key{keyQuit}
	}
next:
	for len(input) > 0 {
		for _, s := range sequences {
			if rest, ok := bytes.CutPrefix(input, []byte(s.bytes)); ok {
				keys, input = append(keys, s.key), rest
				continue next
			}
		}
		input = input[1:]
	}
	return keys
}
