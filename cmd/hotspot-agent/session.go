// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func (a *app) sessionCommand() *cli.Command {
	return &cli.Command{
		Name:  "session",
		Usage: "sell, list, show, change, delete, export and import sessions",
		Subcommands: []*cli.Command{
			a.sessionCreateCommand(),
			{
				Name: "list", Usage: "list sessions",
				Flags:  []cli.Flag{&cli.StringFlag{Name: "device", Usage: "`DEVICE` whose sessions are listed"}},
				Action: a.sessionList,
			},
			{
				Name: "show", Usage: "show one session", ArgsUsage: "ID",
				Action: a.sessionShow,
			},
			a.sessionUpdateCommand(),
			a.sessionMoveCommand(),
			a.sessionClaimCommand(),
			a.sessionRevokeCommand(),
			{
				Name: "delete", Usage: "delete a session; its device is cut off if it was running", ArgsUsage: "ID",
				Action: a.sessionDelete,
			},
			a.sessionExportCommand(),
			a.sessionImportCommand(),
		},
	}
}

func (a *app) sessionList(c *cli.Context) error {
	list, err := a.client(c).Sessions(c.Context, api.SessionQuery{Device: c.String("device")})
	if err != nil {
		return err
	}
	return show(a, c, list, func(w io.Writer, list []api.Session) {
		rows := make([][]string, 0, len(list))
		for _, s := range list {
			rows = append(rows, []string{
				id(s.ID), id(s.DeviceID), s.Type, string(s.State), remaining(s), speeds(s), expires(s), s.Provider,
			})
		}
		table(w, []string{"ID", "DEVICE", "TYPE", "STATE", "REMAINING", "DOWN / UP", "EXPIRES", "PROVIDER"}, rows)
	})
}

func (a *app) sessionShow(c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	session, err := a.client(c).Session(c.Context, number)
	return a.showSession(c, session, err)
}

func (a *app) sessionDelete(c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if err := a.client(c).DeleteSession(c.Context, number); err != nil {
		return err
	}
	if !c.Bool("json") { // the API answers with nothing
		fmt.Fprintf(a.stdout, "session %d is deleted\n", number)
	}
	return nil
}

func sessionID(c *cli.Context) (int64, error) {
	text := c.Args().First()
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 1 {
		return 0, usagef(c, "ID: %q is not the number of a session", text)
	}
	return number, nil
}

func (a *app) showSession(c *cli.Context, session api.Session, err error) error {
	if err != nil {
		return err
	}
	return show(a, c, session, func(w io.Writer, s api.Session) { fields(w, sessionFields(s)...) })
}

func sessionFields(s api.Session) []string {
	pairs := []string{
		"session", id(s.ID),
		"device", id(s.DeviceID),
		"type", s.Type,
		"state", string(s.State),
		"remaining", remaining(s),
	}
	if s.TimeSecs > 0 {
		pairs = append(pairs, "time", fmt.Sprintf("%s, %s used", secs(s.TimeSecs), secs(s.TimeUsedSecs)))
	}
	if s.DataBytes > 0 {
		pairs = append(pairs, "data", fmt.Sprintf("%s, %s used", units.FormatBytes(s.DataBytes), units.FormatBytes(s.DataUsedBytes)))
	}
	return append(pairs,
		"down / up", speeds(s),
		"expires", expires(s),
		"provider", s.Provider,
		"started", stampOf(s.StartedAt),
		"created", stamp(s.CreatedAt),
	)
}

func secs(n int64) string { return units.FormatTime(time.Duration(n) * time.Second) }
