// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// refreshEvery is how often the live table asks the agent.
const refreshEvery = time.Second

// model is the live table. It keeps the last answer while the agent is away.
type model struct {
	ctx           context.Context // of the command: bubbletea's commands carry none
	client        *api.Client
	connected     []api.DeviceStatus
	at            time.Time
	err           error
	width, height int
	offset        int // of the first row shown
}

// refreshed is an answer of the agent.
type refreshed struct {
	connected []api.DeviceStatus
	at        time.Time
	err       error
}

type refreshDue struct{}

func newModel(ctx context.Context, client *api.Client, connected []api.DeviceStatus) model {
	return model{ctx: ctx, client: client, connected: connected, at: time.Now()}
}

func (m model) Init() tea.Cmd { return waitForRefresh() }

func waitForRefresh() tea.Cmd {
	return tea.Tick(refreshEvery, func(time.Time) tea.Msg { return refreshDue{} })
}

func (m model) refresh() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, 5*time.Second)
	defer cancel()
	connected, err := fetchConnected(ctx, m.client)
	return refreshed{connected, time.Now(), err}
}

// Update is one message: a key, a new size, the clock, or an answer.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyMsg:
		return m.key(msg.String())
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case refreshDue:
		return m, m.refresh
	case refreshed:
		if m.err = msg.err; m.err == nil {
			m.connected, m.at = msg.connected, msg.at
		}
		return m.scrolled(0), waitForRefresh()
	}
	return m, nil
}

func (m model) key(name string) (tea.Model, tea.Cmd) {
	switch name {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "down", "j":
		return m.scrolled(1), nil
	case "up", "k":
		return m.scrolled(-1), nil
	case "pgdown", " ":
		return m.scrolled(m.room()), nil
	case "pgup":
		return m.scrolled(-m.room()), nil
	}
	return m, nil
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

var (
	titleStyle  = lipgloss.NewStyle().Bold(true)
	headerStyle = lipgloss.NewStyle().Reverse(true)
	faintStyle  = lipgloss.NewStyle().Faint(true)
	errorStyle  = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
)

// View is the screen.
func (m model) View() string {
	var text strings.Builder
	output.Table(&text, header, rowsOf(m.connected, m.at))
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	head, rows := lines[0], lines[1:]
	rows = rows[min(m.offset, len(rows)):]
	rows = rows[:min(m.room(), len(rows))]

	out := []string{titleStyle.Render(fmt.Sprintf("%s  %s, %s", exit.Program, output.Count(len(m.connected), "device connected", "devices connected"), m.at.Format("15:04:05")))}
	out = append(out, headerStyle.Render(m.fit(head)))
	for _, row := range rows {
		out = append(out, m.fit(row))
	}
	return strings.Join(append(out, m.foot()), "\n")
}

func (m model) foot() string {
	if m.err != nil {
		return errorStyle.Render(m.fit("no answer, trying again: " + output.OneLine(m.err.Error())))
	}
	return faintStyle.Render(m.fit("q quits, arrows scroll"))
}

// fit cuts a line to the screen.
func (m model) fit(line string) string {
	if runes := []rune(line); m.width > 0 && len(runes) > m.width {
		return string(runes[:m.width])
	}
	return line
}
