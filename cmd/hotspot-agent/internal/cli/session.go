// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func sessionCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "session",
		Usage: "sell, list, show, change, delete, export and import sessions",
		Subcommands: []*cli.Command{
			sessionCreateCommand(e),
			{
				Name: "list", Usage: "list sessions",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "device", Usage: "`DEVICE` whose sessions are listed"}, command.InterfaceFlag(),
					&cli.StringFlag{Name: "reference", Usage: "`TEXT` with which the session was created"},
				},
				Action: e.Action(sessionList),
			},
			{
				Name: "show", Usage: "show one session", ArgsUsage: "ID",
				Action: e.Action(sessionShow),
			},
			sessionUpdateCommand(e),
			sessionMoveCommand(e),
			sessionClaimCommand(e),
			sessionRenewCommand(e),
			sessionRevokeCommand(e),
			{
				Name: "delete", Usage: "delete a session; its device is cut off if it was running", ArgsUsage: "ID",
				Action: e.Action(sessionDelete),
			},
			sessionExportCommand(e),
			sessionImportCommand(e),
		},
	}
}

func sessionList(e command.Env, c *cli.Context) error {
	list, err := e.Client(c).Sessions(c.Context, api.SessionQuery{Device: command.Device(c, c.String("device")), Reference: c.String("reference")})
	if err != nil {
		return err
	}
	return output.Show(e.Stdout, c, list, func(w io.Writer, list []api.Session) {
		rows := make([][]string, 0, len(list))
		for _, s := range list {
			rows = append(rows, []string{
				output.ID(s.ID), output.ID(s.DeviceID), s.Type, string(s.State), output.Remaining(s), output.Speeds(s), output.Expires(s), s.Provider,
			})
		}
		output.Table(w, []string{"ID", "DEVICE", "TYPE", "STATE", "REMAINING", "DOWN / UP", "EXPIRES", "PROVIDER"}, rows)
	})
}

func sessionShow(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	session, err := e.Client(c).Session(c.Context, number)
	return output.Session(e.Stdout, c, session, err)
}

func sessionDelete(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if err := e.Client(c).DeleteSession(c.Context, number); err != nil {
		return err
	}
	if !c.Bool("json") { // the API answers with nothing
		fmt.Fprintf(e.Stdout, "session %d is deleted\n", number)
	}
	return nil
}

func sessionID(c *cli.Context) (int64, error) {
	text := c.Args().First()
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 1 {
		return 0, exit.Usagef(c, "ID: %q is not the number of a session", text)
	}
	return number, nil
}
