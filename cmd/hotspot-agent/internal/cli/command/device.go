// SPDX-License-Identifier: Apache-2.0

package command

import "github.com/urfave/cli/v2"

// InterfaceFlag is --interface of the commands that take a DEVICE.
func InterfaceFlag() cli.Flag {
	return &cli.StringFlag{Name: "interface", Usage: "`NAME` of the network that DEVICE's IP is of, where several have it"}
}

// Device is a DEVICE as the API takes it: an IP with the interface of its network.
func Device(c *cli.Context, ref string) string {
	if ifname := c.String("interface"); ifname != "" && ref != "" {
		return ref + "%" + ifname
	}
	return ref
}
