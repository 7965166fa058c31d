// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func deviceCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "device",
		Usage: "list, show, add, change and delete devices",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the devices that were added or bought something",
				Description: "   hotspot-agent device list -q 10.0.0. --sort -id --limit 20",
				Flags:       listFlags("devices with this `TEXT` in their MAC, IP or hostname"),
				Action:      e.Action(deviceList),
			},
			{
				Name: "show", Usage: "show one device", ArgsUsage: "DEVICE",
				Flags:  []cli.Flag{command.InterfaceFlag()},
				Action: e.Action(deviceShow),
			},
			{
				Name: "add", Usage: "add a device; one that is known is updated", ArgsUsage: "MAC",
				Description: "   hotspot-agent device add 02:00:5e:10:00:01 --ip 10.0.0.23 --hostname phone",
				Flags:       deviceFlags(),
				Action:      e.Action(deviceAdd),
			},
			{
				Name: "update", Usage: "change a device; its session continues under the new MAC", ArgsUsage: "DEVICE",
				Description: `A device that has the new MAC and no sessions, as one that only saw the portal, gives
way. One with sessions stays: move these, or move this device's to it.

   hotspot-agent device update 5 --mac 02:00:5e:10:00:02`,
				Flags:  append([]cli.Flag{&cli.StringFlag{Name: "mac", Usage: "`MAC` to move it to"}, command.InterfaceFlag()}, deviceFlags()...),
				Action: e.Action(deviceUpdate),
			},
			{
				Name: "delete", Usage: "delete a device that has nothing left, with its used-up sessions", ArgsUsage: "DEVICE",
				Flags:  []cli.Flag{command.InterfaceFlag()},
				Action: e.Action(deviceDelete),
			},
		},
	}
}

func deviceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "ip", Usage: "`ADDRESS` of the device"},
		&cli.StringFlag{Name: "hostname", Usage: "`NAME` of the device"},
	}
}

func deviceList(e command.Env, c *cli.Context) error {
	newest, err := newestFirst(c)
	if err != nil {
		return err
	}
	client, query := e.Client(c), api.DeviceQuery{Query: c.String("q"), Newest: newest}
	header := []string{"ID", "MAC", "IP", "HOSTNAME", "CREATED"}
	return output.Pages(e.Stdout, c, header, deviceRow, func(limit int, cursor string) ([]api.Device, string, error) {
		query.Limit, query.Cursor = limit, cursor
		return client.DevicePage(c.Context, query)
	})
}

func deviceRow(d api.Device) []string {
	return []string{output.ID(d.ID), d.MAC, output.OrDash(d.IP), output.OrDash(d.Hostname), output.Stamp(d.CreatedAt)}
}

func deviceShow(e command.Env, c *cli.Context) error {
	device, err := e.Client(c).Device(c.Context, command.Device(c, c.Args().First()))
	return output.Device(e.Stdout, c, device, err)
}

func deviceAdd(e command.Env, c *cli.Context) error {
	device, err := e.Client(c).CreateDevice(c.Context, api.NewDevice{
		MAC: c.Args().First(), IP: c.String("ip"), Hostname: c.String("hostname"),
	})
	return output.Device(e.Stdout, c, device, err)
}

func deviceUpdate(e command.Env, c *cli.Context) error {
	patch := api.DevicePatch{MAC: stringIfSet(c, "mac"), IP: stringIfSet(c, "ip"), Hostname: stringIfSet(c, "hostname")}
	if patch == (api.DevicePatch{}) {
		return exit.Usagef(c, "nothing to change: give --mac, --ip or --hostname")
	}
	device, err := e.Client(c).UpdateDevice(c.Context, command.Device(c, c.Args().First()), patch)
	return output.Device(e.Stdout, c, device, err)
}

func deviceDelete(e command.Env, c *cli.Context) error {
	device := command.Device(c, c.Args().First())
	if err := e.Client(c).DeleteDevice(c.Context, device); err != nil {
		return err
	}
	if !c.Bool("json") { // the API answers with nothing
		fmt.Fprintf(e.Stdout, "device %s is deleted\n", output.Printable(device))
	}
	return nil
}

func stringIfSet(c *cli.Context, name string) *string {
	if !c.IsSet(name) {
		return nil
	}
	value := c.String(name)
	return &value
}
