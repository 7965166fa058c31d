// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts arguments into the order that urfave/cli understands: people write
// `connect 5 --notify hello` and `status --json`, it wants flags before arguments
// and global flags before the command. An unknown command is told here as well.
func arrange(root *cli.App, args []string) ([]string, error) {
	w := &walk{root: root, siblings: root.Commands}
	for len(args) > 0 {
		var err error
		if args, err = w.next(args); err != nil {
			return nil, err
		}
	}
	out := slices.Concat(w.globals, w.path, w.flags)
	if len(w.words) > 0 {
		out = append(append(out, "--"), w.words...)
	}
	return out, nil
}

// walk is how far the arguments are understood.
type walk struct {
	root     *cli.App
	command  *cli.Command   // nil before the first
	siblings []*cli.Command // what the next word may name

	globals, path, flags, words []string
}

// next takes one flag with its value, or one word, from the front of args.
func (w *walk) next(args []string) ([]string, error) {
	arg := args[0]
	switch {
	case arg == "--":
		w.words = append(w.words, args[1:]...)
		return nil, nil
	case len(arg) > 1 && strings.HasPrefix(arg, "-"):
		return w.flag(args)
	case len(w.siblings) > 0:
		return args[1:], w.descend(arg)
	}
	w.words = append(w.words, arg)
	return args[1:], nil
}

// flag takes args[0] and, unless it is a switch or has "=", the value after it.
func (w *walk) flag(args []string) ([]string, error) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	take := 1
	target := &w.flags
	found := w.lookup(name)
	if found != nil && findFlag(w.commandFlags(), name) == nil {
		target = &w.globals
	}
	if found != nil && !hasValue && takesValue(found) {
		take = 2
	}
	if take > len(args) {
		return nil, &usageError{command: strings.Join(w.path, " "), message: fmt.Sprintf("%s needs a value", args[0])}
	}
	*target = append(*target, args[:take]...)
	return args[take:], nil
}

// lookup finds a flag of the command, else a global one.
func (w *walk) lookup(name string) cli.Flag {
	if found := findFlag(w.commandFlags(), name); found != nil {
		return found
	}
	return findFlag(w.root.Flags, name)
}

func (w *walk) commandFlags() []cli.Flag {
	if w.command == nil {
		return nil
	}
	return w.command.Flags
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && doc.TakesValue()
}

// descend follows a word into the tree of commands.
func (w *walk) descend(word string) error {
	if word == "help" {
		w.flags = append(w.flags, "--help")
		return nil
	}
	for _, command := range w.siblings {
		if command.HasName(word) {
			w.path = append(w.path, command.Name)
			w.command, w.siblings = command, command.Subcommands
			return nil
		}
	}
	return &usageError{
		command: strings.Join(w.path, " "),
		message: fmt.Sprintf("unknown command %q%s", strings.Join(append(w.path, word), " "), nearest(word, w.siblings)),
	}
}

// nearest suggests a command that starts like word or is one letter off.
func nearest(word string, commands []*cli.Command) string {
	for _, command := range commands {
		if !command.Hidden && len(word) > 1 && (strings.HasPrefix(command.Name, word) || oneOff(command.Name, word)) {
			return fmt.Sprintf(" (did you mean %q?)", command.Name)
		}
	}
	return ""
}

// oneOff reports whether a and b differ by one letter added, lost, changed, or
// two neighbours swapped.
func oneOff(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return swapped || len(a) <= 1 && len(b) <= 1
}
