// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of the program. Each command is a function over a
// [command.Env]: it parses, calls, prints.
package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/announce"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/args"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/completion"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/doctor"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/top"
)

// Run is the whole program, for tests as for main: words without the program's name.
// It returns the exit status.
func Run(ctx context.Context, e command.Env, words []string) int {
	out := output.Remember(e.Stdout)
	e.Stdout = out
	root := tree(e)
	if len(words) > 0 && words[0] == completion.Word {
		completion.Complete(ctx, e, root, words[1:])
		return exit.Done
	}
	err := dispatch(ctx, e, root, words)
	if lost := out.Err(); lost != nil && !output.IsLost(err) {
		err = errors.Join(err, lost)
	}
	return exit.Report(e.Stderr, err)
}

// dispatch runs the command that words name.
func dispatch(ctx context.Context, e command.Env, root *cli.App, words []string) error {
	parsed, err := args.Parse(root, words)
	if err != nil {
		return err
	}
	if parsed.Help {
		args.PrintHelp(e.Stdout, parsed)
		return nil
	}
	c, err := parsed.Context(ctx)
	if err != nil {
		return err
	}
	return parsed.Command.Action(c)
}

const description = `Lets paying customers of a WiFi hotspot through, holds them to their speed,
counts their bytes and seconds, and cuts them off when the balance is spent.

DEVICE is an id, a MAC or an IP; an IP is that of the device that has it now.
Speeds are in Mbit/s, or with a unit (512k, 5M, 1G).
Data has a unit (100MB, 2GiB), and so has time (90m, 1h, 2d12h).

Exit status: 0 done, 1 failed (stderr says what, why and what to try), 2 wrong usage.`

// tree is every command of the program.
func tree(e command.Env) *cli.App {
	root := &cli.App{
		Name:        exit.Program,
		Usage:       "the agent of a prepaid WiFi hotspot",
		Description: description,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "socket", Usage: "`PATH` of the agent's socket [$HOTSPOT_SOCKET]",
				Value: e.DefaultSocket(),
			},
			&cli.BoolFlag{Name: "json", Usage: "print the API's JSON", DisableDefaultText: true},
		},
		Commands: []*cli.Command{
			runCommand(e),
			connectCommand(e), disconnectCommand(e), statusCommand(e),
			deviceCommand(e), sessionCommand(e), gardenCommand(e), eventsCommand(e), top.Command(e),
			doctor.Command(e), announce.Command(e), backupCommand(e), restoreCommand(e), detachCommand(e),
			versionCommand(e), completion.Command(e),
		},
	}
	name(root.Commands, "")
	return root
}

// name gives every command its full name.
func name(commands []*cli.Command, prefix string) {
	for _, command := range commands {
		command.HelpName = prefix + command.Name
		name(command.Subcommands, command.HelpName+" ")
	}
}
