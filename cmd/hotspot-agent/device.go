// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func (a *app) deviceCommand() *cli.Command {
	return &cli.Command{
		Name:  "device",
		Usage: "list, show, add and change devices",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the devices that are known",
				Action: a.deviceList,
			},
			{
				Name: "show", Usage: "show one device", ArgsUsage: "DEVICE",
				Action: a.deviceShow,
			},
			{
				Name: "add", Usage: "add a device; one that is known is updated", ArgsUsage: "MAC",
				Description: "   hotspot-agent device add 02:00:5e:10:00:01 --ip 10.0.0.23 --hostname phone",
				Flags:       deviceFlags(),
				Action:      a.deviceAdd,
			},
			{
				Name: "update", Usage: "change a device; its session goes on under the new MAC", ArgsUsage: "DEVICE",
				Description: "   hotspot-agent device update 5 --mac 02:00:5e:10:00:02",
				Flags:       append([]cli.Flag{&cli.StringFlag{Name: "mac", Usage: "`MAC` to move it to"}}, deviceFlags()...),
				Action:      a.deviceUpdate,
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

func (a *app) deviceList(c *cli.Context) error {
	devices, err := a.client(c).Devices(c.Context)
	if err != nil {
		return err
	}
	return show(a, c, devices, func(w io.Writer, devices []api.Device) {
		rows := make([][]string, 0, len(devices))
		for _, d := range devices {
			rows = append(rows, []string{id(d.ID), d.MAC, orDash(d.IP), orDash(d.Hostname), stamp(d.CreatedAt)})
		}
		table(w, []string{"ID", "MAC", "IP", "HOSTNAME", "CREATED"}, rows)
	})
}

func (a *app) deviceShow(c *cli.Context) error {
	device, err := a.client(c).Device(c.Context, c.Args().First())
	return a.showDevice(c, device, err)
}

func (a *app) deviceAdd(c *cli.Context) error {
	device, err := a.client(c).CreateDevice(c.Context, api.NewDevice{
		MAC: c.Args().First(), IP: c.String("ip"), Hostname: c.String("hostname"),
	})
	return a.showDevice(c, device, err)
}

func (a *app) deviceUpdate(c *cli.Context) error {
	patch := api.DevicePatch{MAC: stringIfSet(c, "mac"), IP: stringIfSet(c, "ip"), Hostname: stringIfSet(c, "hostname")}
	if patch == (api.DevicePatch{}) {
		return usagef(c, "nothing to change: give --mac, --ip or --hostname")
	}
	device, err := a.client(c).UpdateDevice(c.Context, c.Args().First(), patch)
	return a.showDevice(c, device, err)
}

func stringIfSet(c *cli.Context, name string) *string {
	if !c.IsSet(name) {
		return nil
	}
	value := c.String(name)
	return &value
}

func (a *app) showDevice(c *cli.Context, device api.Device, err error) error {
	if err != nil {
		return err
	}
	return show(a, c, device, func(w io.Writer, d api.Device) { fields(w, deviceFields(d)...) })
}

func deviceFields(d api.Device) []string {
	return []string{
		"device", id(d.ID),
		"MAC", d.MAC,
		"IP", strings.Join(d.IPs, ", "),
		"hostname", d.Hostname,
		"created", stamp(d.CreatedAt),
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
