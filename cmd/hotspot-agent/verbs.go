// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func notifyFlag() cli.Flag {
	return &cli.StringFlag{Name: "notify", Usage: "`TEXT` for the customer; it travels with the event"}
}

func (a *app) connectCommand() *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "start or resume a device's session: its packets pass when this returns",
		ArgsUsage: "DEVICE",
		Description: `Starts the session that was already begun, else the one that expires first, else
the oldest. A device that is connected stays so.

   hotspot-agent connect 02:00:5e:10:00:01
   hotspot-agent connect 10.0.0.23 --notify "You are connected"`,
		Flags:  []cli.Flag{notifyFlag()},
		Action: a.verb((*api.Client).Connect),
	}
}

func (a *app) disconnectCommand() *cli.Command {
	return &cli.Command{
		Name:      "disconnect",
		Usage:     "pause a device's session: no packet passes when this returns",
		ArgsUsage: "DEVICE",
		Description: `The session keeps what is left of it. A device that is not connected stays so.

   hotspot-agent disconnect 5 --notify "Paused"`,
		Flags:  []cli.Flag{notifyFlag()},
		Action: a.verb((*api.Client).Disconnect),
	}
}

type verb = func(client *api.Client, ctx context.Context, device, notify string) (api.DeviceStatus, error)

func (a *app) verb(do verb) cli.ActionFunc {
	return func(c *cli.Context) error {
		status, err := do(a.client(c), c.Context, c.Args().First(), c.String("notify"))
		if err != nil {
			return err
		}
		return show(a, c, status, func(w io.Writer, s api.DeviceStatus) { fmt.Fprintln(w, sentence(s)) })
	}
}

// sentence says how a device is: "02:… is connected: session 3, 59m 58s left".
func sentence(s api.DeviceStatus) string {
	switch {
	case s.Connected && s.Session != nil:
		return fmt.Sprintf("%s is connected: session %d, %s left", s.Device.MAC, s.Session.ID, remaining(*s.Session))
	case s.Connected:
		return s.Device.MAC + " is connected"
	}
	return s.Device.MAC + " is not connected"
}

// printDeviceStatus is one device for people.
func printDeviceStatus(w io.Writer, s api.DeviceStatus) {
	connected := "no"
	if s.Connected {
		connected = "yes"
	}
	fields(w, append(deviceFields(s.Device), "connected", connected)...)
	if s.Session != nil {
		fmt.Fprintln(w)
		fields(w, sessionFields(*s.Session)...)
	}
	if !s.Connected {
		return
	}
	fmt.Fprintln(w)
	fields(w, "now", fmt.Sprintf("%s down, %s up", units.FormatSpeed(s.Traffic.DownBPS), units.FormatSpeed(s.Traffic.UpBPS)),
		"passed", fmt.Sprintf("%s down, %s up", units.FormatBytes(s.Traffic.DownBytes), units.FormatBytes(s.Traffic.UpBytes)),
		"dropped", count(int(s.Traffic.DroppedPackets), "packet", "packets"),
		"last seen", stampOf(s.Traffic.LastSeen))
}
