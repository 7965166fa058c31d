// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strconv"
	"strings"

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
				Description: "   hotspot-agent session list --state available,paused --sort -id --limit 20",
				Flags: append([]cli.Flag{
					&cli.StringFlag{Name: "device", Usage: "`DEVICE` whose sessions are listed"},
					command.InterfaceFlag(),
					&cli.StringFlag{Name: "reference", Usage: "`TEXT` with which the session was created"},
					&cli.StringFlag{Name: "state", Usage: "`STATES` that are listed, separated by commas: available, running, paused, consumed, expired"},
				}, listFlags("sessions of devices with this `TEXT` in their MAC, IP or hostname")...),
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
	newest, err := newestFirst(c)
	if err != nil {
		return err
	}
	query := api.SessionQuery{Device: command.Device(c, c.String("device")), Reference: c.String("reference"), Query: c.String("q"), Newest: newest}
	if text := c.String("state"); text != "" {
		for state := range strings.SplitSeq(text, ",") {
			query.States = append(query.States, api.State(strings.TrimSpace(state)))
		}
	}
	client := e.Client(c)
	header := []string{"ID", "DEVICE", "TYPE", "STATE", "REMAINING", "DOWN / UP", "EXPIRES", "PROVIDER"}
	return output.Pages(e.Stdout, c, header, sessionRow, func(limit int, cursor string) ([]api.Session, string, error) {
		query.Limit, query.Cursor = limit, cursor
		return client.SessionPage(c.Context, query)
	})
}

func sessionRow(s api.Session) []string {
	return []string{
		output.ID(s.ID), output.ID(s.DeviceID), s.Type, string(s.State), output.Remaining(s), output.Speeds(s), output.Expires(s), s.Provider,
	}
}

// listFlags are those of every list.
func listFlags(match string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "q", Usage: match},
		&cli.IntFlag{Name: "limit", Usage: "`NUMBER` of them at most"},
		&cli.StringFlag{Name: "sort", Usage: "`ORDER`: id, or -id for the newest first", Value: "id"},
	}
}

// newestFirst reads --sort, and refuses a --limit that is none.
func newestFirst(c *cli.Context) (bool, error) {
	if c.IsSet("limit") && c.Int("limit") < 1 {
		return false, exit.Usagef(c, "--limit: %d is not a number from 1", c.Int("limit"))
	}
	switch order := c.String("sort"); order {
	case "id":
		return false, nil
	case "-id":
		return true, nil
	default:
		return false, exit.Usagef(c, "--sort: %q is not an order (want id, or -id for the newest first)", order)
	}
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
