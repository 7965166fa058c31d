// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
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
		Name:            programName,
		Usage:           "the agent of a prepaid WiFi hotspot",
		Description:     description,
		Writer:          stdout,
		ErrWriter:       stderr,
		HideVersion:     true,
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "socket", Usage: "the agent's socket, a `PATH` [$HOTSPOT_SOCKET]",
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
		Action:         func(c *cli.Context) error { return missingCommand(c) },
		OnUsageError:   onUsageError,
		ExitErrHandler: func(*cli.Context, error) {}, // report prints and decides
	}
	prepare(a.cli.Commands)
	return a
}

// defaultSocket is where the agent is when --socket does not say.
func (a *app) defaultSocket() string {
	return cmp.Or(a.env("HOTSPOT_SOCKET"), config.DefaultSocket)
}

// prepare gives every command what all have in common.
func prepare(commands []*cli.Command) {
	for _, command := range commands {
		command.OnUsageError = onUsageError
		command.HideHelpCommand = true
		if len(command.Subcommands) > 0 {
			command.Action = missingCommand
			prepare(command.Subcommands)
			continue
		}
		command.Before = checkArgs
	}
}

// usageError is a mistake in how the program was called.
type usageError struct {
	command string // "session create"
	message string
}

func (e *usageError) Error() string { return e.message }

func usagef(c *cli.Context, format string, args ...any) error {
	return &usageError{command: commandPath(c), message: fmt.Sprintf(format, args...)}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	return usagef(c, "%s", strings.ReplaceAll(err.Error(), "flag provided but not defined: -", "unknown flag --"))
}

// commandPath is the words of the command after the program's name.
func commandPath(c *cli.Context) string {
	if c.Command == nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(c.Command.HelpName, programName))
}

func missingCommand(c *cli.Context) error {
	return usagef(c, "which command?")
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
