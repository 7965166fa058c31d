// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// saleFlags are what a session is made of, when it is sold and when it is changed.
func purchaseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "type", Usage: "`TYPE` is " + typeNames()},
		&cli.StringFlag{Name: "time", Usage: "`TIME` connected, with its units w, d, h, m, s: 1h, 90m, 2d12h"},
		&cli.StringFlag{Name: "data", Usage: "`AMOUNT` with its unit, up and down together: 100MB, 1.5GB, 2GiB"},
		&cli.StringFlag{Name: "expires", Usage: "`DAYS` after the first start, whole ones: 30d, 2w, or never"},
		&cli.StringFlag{Name: "down", Usage: "`SPEED` towards the device in Mbit/s, or with a unit: 5, 512k, 1G; 0 is no limit"},
		&cli.StringFlag{Name: "up", Usage: "`SPEED` from the device, like --down"},
		&cli.BoolFlag{Name: "global-speed", Usage: "use the configuration's global_speed", DisableDefaultText: true},
	}
}

// typeNames is "time, data or time_or_data".
func typeNames() string {
	text := ""
	for i, t := range sessions.Types() {
		switch {
		case i > 0 && i == len(sessions.Types())-1:
			text += " or "
		case i > 0:
			text += ", "
		}
		text += t.String()
	}
	return text
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// sessionFlags are the flags of a session that were given.
type sessionFlags struct {
	kind          *string
	time, addTime *int64 // seconds
	data, addData *uint64
	expires       api.Expiry
	down, up      *uint64 // bit/s
	global        *bool
}

func readSessionFlags(c *cli.Context) (sessionFlags, error) {
	var s sessionFlags
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
			return sessionFlags{}, exit.Usagef(c, "--%s: %v", r.flag, err)
		}
	}
	if c.IsSet("global-speed") {
		global := c.Bool("global-speed")
		s.global = &global
	}
	return s, s.check(c)
}

func (s sessionFlags) check(c *cli.Context) error {
	limited := s.down != nil || s.up != nil
	switch {
	case limited && or(s.global, false):
		return exit.Usagef(c, "--global-speed and --down or --up contradict each other")
	case s.time != nil && s.addTime != nil:
		return exit.Usagef(c, "--time and --add-time contradict each other")
	case s.data != nil && s.addData != nil:
		return exit.Usagef(c, "--data and --add-data contradict each other")
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
