// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func statusCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show the agent, or one device: connected, session, remaining, live rates",
		ArgsUsage: "[DEVICE]",
		Description: `   hotspot-agent status
   hotspot-agent status 02:00:5e:10:00:01 --json`,
		Flags:  []cli.Flag{command.InterfaceFlag()},
		Action: e.Action(status),
	}
}

func status(e command.Env, c *cli.Context) error {
	if c.NArg() == 0 {
		agent, err := e.Client(c).Status(c.Context)
		if err != nil {
			return err
		}
		return output.Show(e.Stdout, c, agent, printAgentStatus)
	}
	device, err := e.Client(c).DeviceStatus(c.Context, command.Device(c, c.Args().First()))
	if err == nil && device.Connected && !c.Bool("json") {
		device, err = currentRates(e, c)
	}
	if err != nil {
		return err
	}
	return output.Show(e.Stdout, c, device, output.DeviceStatus)
}

// currentRates reads a device again: rates are of the time since the last reading, which
// may be a whole checkpoint ago.
func currentRates(e command.Env, c *cli.Context) (api.DeviceStatus, error) {
	select {
	case <-c.Context.Done():
		return api.DeviceStatus{}, c.Context.Err()
	case <-time.After(600 * time.Millisecond):
	}
	return e.Client(c).DeviceStatus(c.Context, command.Device(c, c.Args().First()))
}

func printAgentStatus(w io.Writer, s api.AgentStatus) {
	health := "ok"
	if !s.Health.OK {
		health = strings.Join(s.Health.Problems, "; ")
	}
	output.Fields(w,
		"version", s.Version,
		"kernel", s.Kernel,
		"attached by", s.AttachMode,
		"limiter", s.Limiter,
		"running since", output.Stamp(s.StartedAt),
		"health", health,
		"devices", fmt.Sprintf("%d, %d connected", s.Counts.Devices, s.Counts.Connected),
		"clients", fmt.Sprintf("%d of at most %d", s.Counts.Clients, s.Counts.MaxClients),
		"sessions", stateCounts(s.Counts.Sessions),
		"providers", fmt.Sprint(s.Counts.Providers),
		"last settled", output.StampOf(s.Health.LastSettleAt),
	)
	fmt.Fprintln(w)
	var rows [][]string
	for _, i := range s.Interfaces {
		rows = append(rows, []string{i.Name, attachment(i), output.StampOf(i.Since), (time.Duration(i.UnprotectedMS) * time.Millisecond).String()})
	}
	output.Table(w, []string{"INTERFACE", "ATTACHED", "SINCE", "UNPROTECTED FOR"}, rows)
	printTallies(w, s)
}

func stateCounts(counts map[string]int) string {
	var parts []string
	for _, state := range sessions.States() {
		if n := counts[string(state)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func attachment(i api.InterfaceStatus) string {
	switch {
	case i.Index == 0:
		return "no: the interface does not exist"
	case !i.Attached:
		return "NO"
	case i.Port:
		return i.Mode + ", as a bridge port"
	}
	return i.Mode
}

// printTallies lists what the kernel passed and dropped, leaving out what never happened.
func printTallies(w io.Writer, s api.AgentStatus) {
	var rows [][]string
	for _, tally := range append(append([]api.PacketCount{}, s.Passes...), s.Drops...) {
		if tally.Frames > 0 {
			rows = append(rows, []string{tally.Reason, tally.Direction, fmt.Sprint(tally.Frames), units.FormatBytes(tally.Bytes)})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		output.Table(w, []string{"FRAMES", "DIRECTION", "COUNT", "BYTES"}, rows)
	}
}
