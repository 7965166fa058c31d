// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// saleFlags are what a session is made of, when it is sold and when it is changed.
func saleFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "type", Usage: "`TYPE` is time, data or time_or_data (ends on whichever is spent first)"},
		&cli.StringFlag{Name: "time", Usage: "`TIME` connected, with its units w, d, h, m, s: 1h, 90m, 2d12h"},
		&cli.StringFlag{Name: "data", Usage: "`AMOUNT` with its unit, up and down together: 100MB, 1.5GB, 2GiB"},
		&cli.StringFlag{Name: "expires", Usage: "`DAYS` after the first start, whole ones: 30d, 2w, or never"},
		&cli.StringFlag{Name: "down", Usage: "`SPEED` towards the device in Mbit/s, or with a unit: 5, 512k, 1G; 0 is no limit"},
		&cli.StringFlag{Name: "up", Usage: "`SPEED` from the device, like --down"},
		&cli.BoolFlag{Name: "global-speed", Usage: "use the configuration's global_speed", DisableDefaultText: true},
	}
}

func (a *app) sessionCreateCommand() *cli.Command {
	return &cli.Command{
		Name:  "create",
		Usage: "sell a session to a device; a MAC not yet known becomes a device",
		Description: `   hotspot-agent session create --device 02:00:5e:10:00:01 --type time --time 1h
   hotspot-agent session create --device 5 --type data --data 100MB --expires 30d --down 5 --up 3
   hotspot-agent session create --device 10.0.0.23 --type time_or_data --time 1d --data 2GB --global-speed`,
		Flags:  append([]cli.Flag{&cli.StringFlag{Name: "device", Usage: "`DEVICE` that buys"}}, saleFlags()...),
		Action: a.sessionCreate,
	}
}

func (a *app) sessionUpdateCommand() *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "top up, re-rate or change a session, also while it runs",
		ArgsUsage: "ID",
		Description: `--time and --data are new totals, --add-time and --add-data come on top. It is
effective on the next packet; what is not named stays as it is.

   hotspot-agent session update 3 --add-data 500MB
   hotspot-agent session update 3 --down 10 --up 5 --expires never`,
		Flags: append(saleFlags(),
			&cli.StringFlag{Name: "add-time", Usage: "`TIME` on top"},
			&cli.StringFlag{Name: "add-data", Usage: "`AMOUNT` on top"}),
		Action: a.sessionUpdate,
	}
}

func (a *app) sessionCreate(c *cli.Context) error {
	for _, name := range []string{"device", "type"} {
		if c.String(name) == "" {
			return usagef(c, "--%s is missing", name)
		}
	}
	sale, err := readSale(c)
	if err != nil {
		return err
	}
	bought, err := a.client(c).CreateSession(c.Context, api.NewSession{
		Device: c.String("device"), Type: c.String("type"),
		TimeSecs: or(sale.time, 0), DataBytes: or(sale.data, 0), ExpDays: sale.expires.Days,
		DownBPS: or(sale.down, 0), UpBPS: or(sale.up, 0), UseGlobalSpeed: or(sale.global, false),
	})
	if err != nil {
		return err
	}
	return show(a, c, bought, func(w io.Writer, p api.Purchase) {
		fields(w, append(sessionFields(p.Session), "claim code", p.Claim)...)
	})
}

func (a *app) sessionUpdate(c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	sale, err := readSale(c)
	if err != nil {
		return err
	}
	patch := api.SessionPatch{
		Type: sale.kind, TimeSecs: sale.time, DataBytes: sale.data, AddTimeSecs: sale.addTime, AddDataBytes: sale.addData,
		ExpDays: sale.expires, DownBPS: sale.down, UpBPS: sale.up, UseGlobalSpeed: sale.global,
	}
	if patch == (api.SessionPatch{}) {
		return usagef(c, "nothing to change: give one of its flags")
	}
	session, err := a.client(c).UpdateSession(c.Context, number, patch)
	return a.showSession(c, session, err)
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// sale is the flags of a session that were given.
type sale struct {
	kind          *string
	time, addTime *int64 // seconds
	data, addData *uint64
	expires       api.Expiry
	down, up      *uint64 // bit/s
	global        *bool
}

func readSale(c *cli.Context) (sale, error) {
	var s sale
	readers := []struct {
		flag string
		read func(text string) error
	}{
		{"type", func(text string) error { s.kind = &text; return parseType(text) }},
		{"time", into(&s.time, parseSecs)},
		{"data", into(&s.data, units.ParseBytes)},
		{"add-time", into(&s.addTime, parseSecs)},
		{"add-data", into(&s.addData, units.ParseBytes)},
		{"down", into(&s.down, units.ParseSpeed)},
		{"up", into(&s.up, units.ParseSpeed)},
		{"expires", func(text string) (err error) {
			s.expires.Set = true
			s.expires.Days, err = units.ParseDays(text)
			return err
		}},
	}
	for _, r := range readers {
		if !c.IsSet(r.flag) {
			continue
		}
		if err := r.read(c.String(r.flag)); err != nil {
			return sale{}, usagef(c, "--%s: %v", r.flag, err)
		}
	}
	if c.IsSet("global-speed") {
		global := c.Bool("global-speed")
		s.global = &global
	}
	return s, s.contradiction(c)
}

func (s sale) contradiction(c *cli.Context) error {
	limited := s.down != nil || s.up != nil
	switch {
	case limited && or(s.global, false):
		return usagef(c, "--global-speed and --down or --up contradict each other")
	case s.time != nil && s.addTime != nil:
		return usagef(c, "--time and --add-time contradict each other")
	case s.data != nil && s.addData != nil:
		return usagef(c, "--data and --add-data contradict each other")
	}
	return nil
}

// into parses a flag into what it is for.
func into[T any](target **T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		value, err := parse(text)
		*target = &value
		return err
	}
}

func parseSecs(text string) (int64, error) {
	d, err := units.ParseTime(text)
	if err != nil {
		return 0, fmt.Errorf("%w", err)
	}
	return int64(d / time.Second), nil
}

// parseType checks the name of a session type.
func parseType(name string) error {
	if _, ok := sessions.ParseType(name); !ok {
		return fmt.Errorf("%q is not a session type (want time, data or time_or_data)", name)
	}
	return nil
}
