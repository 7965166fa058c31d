// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
)

const programName = "hotspot-agent"

// app is one call of the program.
type app struct {
	env    func(string) string
	stdout io.Writer
	stderr io.Writer
	cli    *cli.App
}

const description = `Lets paying customers of a WiFi hotspot through, holds them to their speed,
counts their bytes and seconds, and cuts them off when the balance is spent.

DEVICE is an id, a MAC or an IP. Speeds are in Mbit/s, or with a unit (512k, 5M, 1G).
Data has a unit (100MB, 2GiB), and so has time (90m, 1h, 2d12h).

Exit status: 0 done, 1 failed (stderr says what, why and what to try), 2 wrong usage.`

func newApp(env func(string) string, stdout, stderr io.Writer) *app {
	a := &app{env: env, stdout: stdout, stderr: stderr}
	a.cli = &cli.App{
		Name:        programName,
		Usage:       "the agent of a prepaid WiFi hotspot",
		Description: description,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "socket", Usage: "`PATH` of the agent's socket [$HOTSPOT_SOCKET]",
				Value: a.defaultSocket(),
			},
			&cli.BoolFlag{Name: "json", Usage: "print the API's JSON", DisableDefaultText: true},
		},
		Commands: []*cli.Command{
			a.runCommand(),
			a.connectCommand(), a.disconnectCommand(), a.statusCommand(),
			a.deviceCommand(), a.sessionCommand(), a.eventsCommand(), a.topCommand(),
			a.doctorCommand(), a.detachCommand(),
			a.versionCommand(), a.completionCommand(),
		},
	}
	name(a.cli.Commands, "")
	return a
}

// defaultSocket is where the agent is when --socket does not say.
func (a *app) defaultSocket() string {
	return cmp.Or(a.env("HOTSPOT_SOCKET"), config.DefaultSocket)
}

// name gives every command its full name.
func name(commands []*cli.Command, prefix string) {
	for _, command := range commands {
		command.HelpName = prefix + command.Name
		name(command.Subcommands, command.HelpName+" ")
	}
}

// dispatch runs the command that args name.
func (a *app) dispatch(ctx context.Context, args []string) error {
	w, err := understand(a.cli, args)
	if err != nil {
		return err
	}
	if w.help {
		printHelp(a.stdout, w)
		return nil
	}
	if len(w.siblings) > 0 {
		return w.usagef("which command?")
	}
	c, err := a.contextOf(ctx, w)
	if err != nil {
		return w.usagef("%v", err)
	}
	if err := checkArgs(c); err != nil {
		return err
	}
	return w.command.Action(c)
}

// contextOf parses the flags that were sorted.
func (a *app) contextOf(ctx context.Context, w *walk) (*cli.Context, error) {
	globals, err := parse(a.cli.Flags, w.globals)
	if err != nil {
		return nil, err
	}
	set, err := parse(w.command.Flags, slices.Concat(w.flags, []string{"--"}, w.words))
	if err != nil {
		return nil, err
	}
	parent := cli.NewContext(a.cli, globals, nil)
	parent.Context = ctx
	c := cli.NewContext(a.cli, set, parent)
	c.Command = w.command
	return c, nil
}

func parse(flags []cli.Flag, args []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet(programName, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err := f.Apply(set); err != nil {
			return nil, err
		}
	}
	return set, set.Parse(args)
}

// usageError is a mistake in how the program was called.
type usageError struct {
	command string // "session create"
	message string
}

func (e *usageError) Error() string { return e.message }

func usagef(c *cli.Context, format string, args ...any) error {
	return &usageError{command: c.Command.HelpName, message: fmt.Sprintf(format, args...)}
}

// checkArgs holds the arguments to ArgsUsage: each word is one, in brackets one
// that may be missing.
func checkArgs(c *cli.Context) error {
	names := strings.Fields(c.Command.ArgsUsage)
	if extra := c.Args().Slice(); len(extra) > len(names) {
		return usagef(c, "unexpected argument %q", extra[len(names)])
	}
	for _, name := range names[c.NArg():] {
		if !strings.HasPrefix(name, "[") {
			return usagef(c, "%s is missing", name)
		}
	}
	return nil
}
