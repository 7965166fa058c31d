// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// model is the live table. It keeps the last answer while the agent is away.
type model struct {
	connected     []api.DeviceStatus
	at            time.Time
	err           error
	width, height int // of the screen; 0: not known
	offset        int // of the first row shown
}

// answer is an answer of the agent.
type answer struct {
	connected []api.DeviceStatus
	at        time.Time
	err       error
}

// refreshed shows an answer.
func (m model) refreshed(a answer) model {
	if m.err = a.err; a.err == nil {
		m.connected, m.at = a.connected, a.at
	}
	return m.scrolled(0)
}

// resized fits the table to a screen.
func (m model) resized(width, height int) model {
	m.width, m.height = width, height
	return m.scrolled(0)
}

// pressed scrolls; quit is true for the keys that end it.
func (m model) pressed(k key) (next model, quit bool) {
	switch k {
	case keyQuit:
		return m, true
	case keyDown:
		return m.scrolled(1), false
	case keyUp:
		return m.scrolled(-1), false
	case keyPageDown:
		return m.scrolled(m.room()), false
	case keyPageUp:
		return m.scrolled(-m.room()), false
	}
	return m, false
}

// room is how many rows fit between head and foot.
func (m model) room() int {
	if m.height == 0 {
		return len(m.connected)
	}
	return max(1, m.height-4)
}

func (m model) scrolled(by int) model {
	m.offset = max(0, min(m.offset+by, len(m.connected)-m.room()))
	return m
}

// Select graphic rendition, ECMA-48 8.3.117.
const (
	bold    = "\x1b[1m"
	faint   = "\x1b[2m"
	reverse = "\x1b[7m"
	red     = "\x1b[31m"
	normal  = "\x1b[0m"
)

// view is the lines of the screen.
func (m model) view() string {
	var text strings.Builder
	output.Table(&text, header, rowsOf(m.connected, m.at))
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	head, rows := lines[0], lines[1:]
	rows = rows[min(m.offset, len(rows)):]
	rows = rows[:min(m.room(), len(rows))]

	out := []string{bold + fmt.Sprintf("%s  %s, %s", exit.Program, output.Count(len(m.connected), "device connected", "devices connected"), m.at.Format("15:04:05")) + normal}
	out = append(out, reverse+m.fit(head)+normal)
	for _, row := range rows {
		out = append(out, m.fit(row))
	}
	return strings.Join(append(out, m.foot()), "\n")
}

func (m model) foot() string {
	if m.err != nil {
		return red + m.fit("no answer, trying again: "+output.OneLine(m.err.Error())) + normal
	}
	return faint + m.fit("q quits, arrows scroll") + normal
}

// fit cuts a line to the screen.
func (m model) fit(line string) string {
	if runes := []rune(line); m.width > 0 && len(runes) > m.width {
		return string(runes[:m.width])
	}
	return line
}
