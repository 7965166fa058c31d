// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (a *app) sessionMoveCommand() *cli.Command {
	return &cli.Command{
		Name: "move", Usage: "give a session to another device, also while it runs", ArgsUsage: "ID",
		Description: `The session goes on there, and the device that it leaves is cut off. A MAC not yet
known becomes a device.

   hotspot-agent session move 3 --device 02:00:5e:10:00:02`,
		Flags:  []cli.Flag{takerFlag()},
		Action: a.sessionMove,
	}
}

func (a *app) sessionClaimCommand() *cli.Command {
	return &cli.Command{
		Name: "claim", Usage: "give the session of a code that a customer has to another device", ArgsUsage: "CODE",
		Description: `The code is told once, when the session is created, and stays valid until
"session revoke-claim".

   hotspot-agent session claim 7K3M-9QWD-2HXR --device 02:00:5e:10:00:02`,
		Flags:  []cli.Flag{takerFlag()},
		Action: a.sessionClaim,
	}
}

func (a *app) sessionRevokeCommand() *cli.Command {
	return &cli.Command{
		Name: "revoke-claim", Usage: "make the code of a session worthless", ArgsUsage: "ID",
		Action: a.sessionRevoke,
	}
}

func takerFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Usage: "`DEVICE` that gets it"}
}

func (a *app) sessionMove(c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if c.String("device") == "" {
		return usagef(c, "--device is missing")
	}
	session, err := a.client(c).MoveSession(c.Context, number, c.String("device"))
	return a.showSession(c, session, err)
}

func (a *app) sessionClaim(c *cli.Context) error {
	if c.String("device") == "" {
		return usagef(c, "--device is missing")
	}
	session, err := a.client(c).Claim(c.Context, c.Args().First(), c.String("device"))
	return a.showSession(c, session, err)
}

func (a *app) sessionRevoke(c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if err := a.client(c).RevokeClaim(c.Context, number); err != nil {
		return err
	}
	if !c.Bool("json") { // the API answers with nothing
		fmt.Fprintf(a.stdout, "the code of session %d is worthless\n", number)
	}
	return nil
}
