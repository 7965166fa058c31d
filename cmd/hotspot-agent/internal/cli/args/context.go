// SPDX-License-Identifier: Apache-2.0

package args

import (
	"context"
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// Context is what the command's Action is called with. Values of flags that do not
// parse, and arguments that are missing or too many, are a [exit.UsageError].
func (p *Parsed) Context(ctx context.Context) (*cli.Context, error) {
	if len(p.Next) > 0 {
		return nil, p.usagef("which command?")
	}
	globals, err := parseFlags(p.Root.Flags, p.Globals)
	if err != nil {
		return nil, p.usagef("%v", err)
	}
	set, err := parseFlags(p.Command.Flags, slices.Concat(p.Flags, []string{"--"}, p.Words))
	if err != nil {
		return nil, p.usagef("%v", err)
	}
	parent := cli.NewContext(p.Root, globals, nil)
	parent.Context = ctx
	c := cli.NewContext(p.Root, set, parent)
	c.Command = p.Command
	return c, checkArgs(c)
}

func parseFlags(flags []cli.Flag, args []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet(exit.Program, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err := f.Apply(set); err != nil {
			return nil, err
		}
	}
	return set, set.Parse(args)
}

// checkArgs holds the arguments to ArgsUsage: each word is one, in brackets one
// that may be missing.
func checkArgs(c *cli.Context) error {
	names := strings.Fields(c.Command.ArgsUsage)
	if extra := c.Args().Slice(); len(extra) > len(names) {
		return exit.Usagef(c, "unexpected argument %q", extra[len(names)])
	}
	for _, name := range names[c.NArg():] {
		if !strings.HasPrefix(name, "[") {
			return exit.Usagef(c, "%s is missing", name)
		}
	}
	return nil
}
