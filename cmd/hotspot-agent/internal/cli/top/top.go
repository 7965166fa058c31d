// SPDX-License-Identifier: Apache-2.0

// Package top is the live table of connected devices.
package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Command is "top".
func Command(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "live table of connected devices; q quits",
		Description: `Where the output is no terminal, and with --json, it prints the table once.

   hotspot-agent top`,
		Action: e.Action(show),
	}
}

func show(e command.Env, c *cli.Context) error {
	client := e.Client(c)
	connected, err := fetchConnected(c.Context, client)
	if err != nil {
		return err
	}
	screen := output.Remember(e.Stdout).Unwrap()
	if c.Bool("json") || !isTerminal(screen) {
		return output.Show(e.Stdout, c, connected, printConnected)
	}
	model := newModel(c.Context, client, connected)
	_, err = tea.NewProgram(model, tea.WithAltScreen(), tea.WithOutput(screen), tea.WithContext(c.Context)).Run()
	if errors.Is(err, tea.ErrProgramKilled) { // by the end of the context
		err = nil
	}
	return err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// atOnce bounds the requests that are under way at the same time.
const atOnce = 8

// fetchConnected returns every connected device, the busiest first.
func fetchConnected(ctx context.Context, client *api.Client) ([]api.DeviceStatus, error) {
	running, err := client.Sessions(ctx, api.SessionQuery{States: []sessions.State{sessions.Running}})
	if err != nil {
		return nil, err
	}
	all := make([]api.DeviceStatus, len(running))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for i, session := range running {
		work.Go(func() (err error) {
			all[i], err = client.DeviceStatus(ctx, output.ID(session.DeviceID))
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s api.DeviceStatus) bool { return !s.Connected }) // ended meanwhile
	slices.SortStableFunc(all, func(x, y api.DeviceStatus) int {
		return int(min(max(int64(rate(y))-int64(rate(x)), -1), 1))
	})
	return all, nil
}

func rate(s api.DeviceStatus) uint64 { return s.Traffic.DownBPS + s.Traffic.UpBPS }

func printConnected(w io.Writer, all []api.DeviceStatus) {
	output.Table(w, header, rowsOf(all, time.Now()))
}

var header = []string{"DEVICE", "MAC", "IP", "HOSTNAME", "TYPE", "REMAINING", "DOWN", "UP", "DROPPED", "SEEN"}

func rowsOf(all []api.DeviceStatus, now time.Time) [][]string {
	rows := make([][]string, 0, len(all))
	for _, s := range all {
		kind, left := "-", "-"
		if s.Session != nil {
			kind, left = s.Session.Type, output.Remaining(*s.Session)
		}
		rows = append(rows, []string{
			output.ID(s.Device.ID), s.Device.MAC, output.OrDash(s.Device.IP), output.OrDash(s.Device.Hostname), kind, left,
			units.FormatSpeed(s.Traffic.DownBPS), units.FormatSpeed(s.Traffic.UpBPS),
			fmt.Sprint(s.Traffic.DroppedPackets), ago(s.Traffic.LastSeen, now),
		})
	}
	return rows
}

func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	return units.FormatTime(max(0, now.Sub(*t))) + " ago"
}
