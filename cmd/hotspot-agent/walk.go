// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// walk is how far the arguments are understood. People write flags anywhere, as in
// `connect 5 --notify hello` and `status --json`: it sorts them, for the dispatch as
// for completion. (Its Run would have urfave/cli print the help through
// text/template, and that keeps every method of every type in the program: 3 MB.)
type walk struct {
	root     *cli.App
	command  *cli.Command   // nil before the first
	siblings []*cli.Command // what the next word may name

	help                  bool     // --help was among the flags
	globals, flags, words []string // as urfave's flags parse them, and arguments
}

// understand walks through all arguments. What is unknown is an error here.
func understand(root *cli.App, args []string) (*walk, error) {
	w := &walk{root: root, siblings: root.Commands}
	for len(args) > 0 {
		var err error
		if args, err = w.next(args); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *walk) usagef(format string, args ...any) error {
	return &usageError{command: w.path(), message: fmt.Sprintf(format, args...)}
}

// path is the words of the command after the program's name.
func (w *walk) path() string {
	if w.command == nil {
		return ""
	}
	return w.command.HelpName
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
	if name == "help" || name == "h" {
		w.help = true
		return args[1:], nil
	}
	found := w.lookup(name)
	if found == nil {
		return nil, w.usagef("unknown flag %s", args[0])
	}
	take := 1
	if takesValue(found) && !hasValue {
		take = 2
	}
	if take > len(args) {
		return nil, w.usagef("%s needs a value", args[0])
	}
	target := &w.flags
	if findFlag(w.commandFlags(), name) == nil {
		target = &w.globals
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
		w.help = true
		return nil
	}
	for _, command := range w.siblings {
		if command.HasName(word) {
			w.command, w.siblings = command, command.Subcommands
			return nil
		}
	}
	return w.usagef("unknown command %q%s", strings.TrimSpace(w.path()+" "+word), nearest(word, w.siblings))
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
