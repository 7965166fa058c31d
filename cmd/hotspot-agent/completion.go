// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// completeWord is what the shells' scripts call: the words up to the cursor follow,
// the last of them unfinished. It is not for people, and so no command of the app.
const completeWord = "__complete"

//go:embed completion
var completionScripts embed.FS

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `   source <(hotspot-agent completion bash)       # in ~/.bashrc
   source <(hotspot-agent completion zsh)        # in ~/.zshrc
   hotspot-agent completion fish | source        # in ~/.config/fish/config.fish`,
		Action: func(c *cli.Context) error {
			shell := c.Args().First()
			script, err := completionScripts.ReadFile("completion/" + shell)
			if err != nil {
				return usagef(c, "%q is not a shell it knows: want bash, zsh or fish", shell)
			}
			_, err = a.stdout.Write(script)
			return err
		},
	}
}

// candidate is one possible word, and what it means.
type candidate struct{ value, meaning string }

// complete prints the candidates for the last of the words, "value<TAB>meaning" a line.
func (a *app) complete(ctx context.Context, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	current, before := words[len(words)-1], words[:len(words)-1]
	w := &walk{root: a.cli, siblings: a.cli.Commands}
	for rest := before; len(rest) > 0; {
		var err error
		if waitsForValue(w, rest) {
			a.print(a.valuesOf(ctx, w, strings.TrimLeft(rest[0], "-")), "", current)
			return
		}
		if rest, err = w.next(rest); err != nil {
			return
		}
	}
	name, _, hasValue := strings.Cut(current, "=")
	switch {
	case strings.HasPrefix(current, "-") && hasValue:
		a.print(a.valuesOf(ctx, w, strings.TrimLeft(name, "-")), name+"=", current)
	case strings.HasPrefix(current, "-"):
		a.print(flagCandidates(w), "", current)
	case len(w.siblings) > 0:
		a.print(commandCandidates(w.siblings), "", current)
	default:
		a.print(a.argumentCandidates(ctx, w), "", current)
	}
}

// waitsForValue reports whether rest is one flag whose value is the word at the cursor.
func waitsForValue(w *walk, rest []string) bool {
	if len(rest) != 1 || !strings.HasPrefix(rest[0], "-") || strings.Contains(rest[0], "=") {
		return false
	}
	found := w.lookup(strings.TrimLeft(rest[0], "-"))
	return found != nil && takesValue(found)
}

func (a *app) print(candidates []candidate, prefix, current string) {
	for _, c := range candidates {
		if strings.HasPrefix(prefix+c.value, current) {
			fmt.Fprintf(a.stdout, "%s%s\t%s\n", prefix, c.value, printable(c.meaning))
		}
	}
}

func commandCandidates(commands []*cli.Command) []candidate {
	var out []candidate
	for _, command := range commands {
		out = append(out, candidate{command.Name, command.Usage})
	}
	return out
}

func flagCandidates(w *walk) []candidate {
	out := []candidate{{"--help", "show help"}}
	for _, f := range append(append([]cli.Flag{}, w.commandFlags()...), w.root.Flags...) {
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			value, meaning := describe(doc)
			out = append(out, candidate{"--" + f.Names()[0], strings.TrimSpace(value + " " + meaning)})
		}
	}
	return out
}

// argumentCandidates are for the next argument of a command, by its name in ArgsUsage.
func (a *app) argumentCandidates(ctx context.Context, w *walk) []candidate {
	names := strings.Fields(w.command.ArgsUsage)
	if len(w.words) >= len(names) {
		return nil
	}
	return a.named(ctx, w, strings.Trim(names[len(w.words)], "[]"))
}

// valuesOf are for the value of a flag.
func (a *app) valuesOf(ctx context.Context, w *walk, flag string) []candidate {
	switch flag {
	case "type":
		return []candidate{{"time", "ends when its time is used"}, {"data", "ends when its data is used"}, {"time_or_data", "ends on whichever is used first"}}
	case "device":
		return a.named(ctx, w, "DEVICE")
	}
	return nil
}

func (a *app) named(ctx context.Context, w *walk, argument string) []candidate {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := api.NewClient(a.socketOf(w))
	var out []candidate
	switch argument {
	case "DEVICE":
		devices, _ := client.Devices(ctx) // without an agent there is nothing to offer
		for _, d := range devices {
			out = append(out, candidate{id(d.ID), strings.Join(strings.Fields(d.MAC+" "+d.IP+" "+d.Hostname), " ")})
		}
	case "ID":
		list, _ := client.Sessions(ctx, api.SessionQuery{})
		for _, s := range list {
			out = append(out, candidate{id(s.ID), fmt.Sprintf("%s of device %d, %s", s.Type, s.DeviceID, s.State)})
		}
	default:
		for value := range strings.SplitSeq(argument, "|") {
			out = append(out, candidate{value: value})
		}
	}
	return out
}

// socketOf is --socket among the words, else its default.
func (a *app) socketOf(w *walk) string {
	path := ""
	for i, word := range w.globals {
		if value, ok := strings.CutPrefix(word, "--socket="); ok {
			path = value
		}
		if word == "--socket" && i+1 < len(w.globals) {
			path = w.globals[i+1]
		}
	}
	if path == "" {
		return a.defaultSocket()
	}
	return path
}
