// SPDX-License-Identifier: Apache-2.0

// Package args parses the command line of a tree of urfave/cli commands, and prints its help.
package args

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// Parsed is a command line, or the start of one. Flags may stand anywhere, as in
// `connect 5 --notify hello` and `status --json`: they are sorted, for the dispatch as
// for completion. (App.Run of urfave/cli would print the help through text/template,
// and that keeps every method of every type in the program: 3 MB.)
type Parsed struct {
	Root    *cli.App
	Command *cli.Command   // nil before the first
	Next    []*cli.Command // what the next word may name

	Help                  bool     // --help was among the flags
	Globals, Flags, Words []string // flags with their values, and arguments
}

// Parse sorts all arguments. An unknown command or flag is a [exit.UsageError].
func Parse(root *cli.App, args []string) (*Parsed, error) {
	p := Start(root)
	for len(args) > 0 {
		var err error
		if args, err = p.Step(args); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Start is a command line before its first argument.
func Start(root *cli.App) *Parsed { return &Parsed{Root: root, Next: root.Commands} }

// usagef is a mistake in the call of this command.
func (p *Parsed) usagef(format string, args ...any) error {
	return &exit.UsageError{Command: p.path(), Message: fmt.Sprintf(format, args...)}
}

// path is the words of the command after the program's name.
func (p *Parsed) path() string {
	if p.Command == nil {
		return ""
	}
	return p.Command.HelpName
}

// Step parses one flag with its value, or one word, and returns the arguments after it.
func (p *Parsed) Step(args []string) ([]string, error) {
	arg := args[0]
	switch {
	case arg == "--":
		p.Words = append(p.Words, args[1:]...)
		return nil, nil
	case len(arg) > 1 && strings.HasPrefix(arg, "-"):
		return p.flag(args)
	case len(p.Next) > 0:
		return args[1:], p.descend(arg)
	}
	p.Words = append(p.Words, arg)
	return args[1:], nil
}

// flag parses args[0] and, unless it is a switch or has "=", the value after it.
func (p *Parsed) flag(args []string) ([]string, error) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	if name == "help" || name == "h" {
		p.Help = true
		return args[1:], nil
	}
	found := p.Lookup(name)
	if found == nil {
		return nil, p.usagef("unknown flag %s", args[0])
	}
	length := 1
	if TakesValue(found) && !hasValue {
		length = 2
	}
	if length > len(args) {
		return nil, p.usagef("%s needs a value", args[0])
	}
	target := &p.Flags
	if findFlag(p.CommandFlags(), name) == nil {
		target = &p.Globals
	}
	*target = append(*target, args[:length]...)
	return args[length:], nil
}

// Lookup finds a flag of the command, else a global one.
func (p *Parsed) Lookup(name string) cli.Flag {
	if found := findFlag(p.CommandFlags(), name); found != nil {
		return found
	}
	return findFlag(p.Root.Flags, name)
}

// CommandFlags are the flags of the command itself.
func (p *Parsed) CommandFlags() []cli.Flag {
	if p.Command == nil {
		return nil
	}
	return p.Command.Flags
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// TakesValue reports whether a flag has a value after it: it is no switch.
func TakesValue(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && doc.TakesValue()
}

// descend follows a word into the tree of commands.
func (p *Parsed) descend(word string) error {
	if word == "help" {
		p.Help = true
		return nil
	}
	for _, command := range p.Next {
		if command.HasName(word) {
			p.Command, p.Next = command, command.Subcommands
			return nil
		}
	}
	return p.usagef("unknown command %q%s", strings.TrimSpace(p.path()+" "+word), nearest(word, p.Next))
}
