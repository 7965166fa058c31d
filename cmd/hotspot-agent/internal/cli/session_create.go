// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func sessionCreateCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "create",
		Usage: "sell a session to a device; a MAC not yet known becomes a device",
		Description: `   hotspot-agent session create --device 02:00:5e:10:00:01 --type time --time 1h
   hotspot-agent session create --device 5 --type data --data 100MB --expires 30d --down 5 --up 3
   hotspot-agent session create --device 10.0.0.23 --type time_or_data --time 1d --data 2GB --global-speed`,
		Flags: append(append([]cli.Flag{&cli.StringFlag{Name: "device", Usage: "`DEVICE` that buys"}, command.InterfaceFlag()}, purchaseFlags()...),
			&cli.StringFlag{Name: "reference", Usage: "`TEXT` is your own name of the purchase; a second one with it is refused"},
			keyFlag()),
		Action: e.Action(sessionCreate),
	}
}

func sessionUpdateCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "top up, re-rate or change a session, also while it runs",
		ArgsUsage: "ID",
		Description: `--time and --data are new totals, --add-time and --add-data come on top. It is
effective on the next packet; what is not named stays as it is.

   hotspot-agent session update 3 --add-data 500MB
   hotspot-agent session update 3 --down 10 --up 5 --expires never`,
		Flags: append(purchaseFlags(),
			&cli.StringFlag{Name: "add-time", Usage: "`TIME` on top"},
			&cli.StringFlag{Name: "add-data", Usage: "`AMOUNT` on top"},
			keyFlag()),
		Action: e.Action(sessionUpdate),
	}
}

func keyFlag() cli.Flag {
	return &cli.StringFlag{Name: "idempotency-key", Usage: "`KEY`, random, names this command: repeated with it, it has one effect"}
}

// keyed is the context of a command that may be repeated.
func keyed(c *cli.Context) context.Context {
	if key := c.String("idempotency-key"); key != "" {
		return api.WithIdempotencyKey(c.Context, key)
	}
	return c.Context
}

func sessionCreate(e command.Env, c *cli.Context) error {
	for _, name := range []string{"device", "type"} {
		if c.String(name) == "" {
			return exit.Usagef(c, "--%s is missing", name)
		}
	}
	flags, err := readSessionFlags(c)
	if err != nil {
		return err
	}
	bought, err := e.Client(c).CreateSession(keyed(c), api.NewSession{
		Device: command.Device(c, c.String("device")), Type: c.String("type"),
		TimeSecs: or(flags.time, 0), DataBytes: or(flags.data, 0), ExpDays: flags.expires.Days,
		DownBPS: or(flags.down, 0), UpBPS: or(flags.up, 0), UseGlobalSpeed: or(flags.global, false),
		Reference: c.String("reference"),
	})
	if err != nil {
		return err
	}
	return showCode(e, c, bought.ID, "its claim code", bought, func(w io.Writer, p api.Purchase) {
		output.Fields(w, append(output.SessionFields(p.Session), "claim code", p.Claim)...)
	})
}

func sessionUpdate(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	flags, err := readSessionFlags(c)
	if err != nil {
		return err
	}
	patch := api.SessionPatch{
		Type: flags.kind, TimeSecs: flags.time, DataBytes: flags.data, AddTimeSecs: flags.addTime, AddDataBytes: flags.addData,
		ExpDays: flags.expires, DownBPS: flags.down, UpBPS: flags.up, UseGlobalSpeed: flags.global,
	}
	if patch == (api.SessionPatch{}) {
		return exit.Usagef(c, "nothing to change: give one of its flags")
	}
	session, err := e.Client(c).UpdateSession(keyed(c), number, patch)
	return output.Session(e.Stdout, c, session, err)
}
