// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func notifyFlag() cli.Flag {
	return &cli.StringFlag{Name: "notify", Usage: "`TEXT` for the customer; it travels with the event"}
}

func connectCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "start or resume a device's session: its packets pass when this returns",
		ArgsUsage: "DEVICE",
		Description: `Starts the session that was already begun, else the one that expires first, else
the oldest. A device that is connected stays so.

   hotspot-agent connect 02:00:5e:10:00:01
   hotspot-agent connect 10.0.0.23 --notify "You are connected"`,
		Flags:  []cli.Flag{notifyFlag(), command.InterfaceFlag()},
		Action: callForDevice(e, (*api.Client).Connect),
	}
}

func disconnectCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "disconnect",
		Usage:     "pause a device's session: no packet passes when this returns",
		ArgsUsage: "DEVICE",
		Description: `The session keeps what is left of it. A device that is not connected stays so.

   hotspot-agent disconnect 5 --notify "Paused"`,
		Flags:  []cli.Flag{notifyFlag(), command.InterfaceFlag()},
		Action: callForDevice(e, (*api.Client).Disconnect),
	}
}

type call = func(client *api.Client, ctx context.Context, device, notify string) (api.DeviceStatus, error)

func callForDevice(e command.Env, do call) cli.ActionFunc {
	return func(c *cli.Context) error {
		status, err := do(e.Client(c), c.Context, command.Device(c, c.Args().First()), c.String("notify"))
		if err != nil {
			return err
		}
		return output.Show(e.Stdout, c, status, func(w io.Writer, s api.DeviceStatus) { fmt.Fprintln(w, output.Sentence(s)) })
	}
}
