// SPDX-License-Identifier: Apache-2.0

package completion

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/args"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// candidate is one possible word, and what it means.
type candidate struct{ value, meaning string }

// Complete prints the candidates for the last of the words, "value<TAB>meaning" a line.
func Complete(ctx context.Context, e command.Env, root *cli.App, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	current, before := words[len(words)-1], words[:len(words)-1]
	p := args.Start(root)
	for rest := before; len(rest) > 0; {
		var err error
		if waitsForValue(p, rest) {
			printCandidates(e, valuesOf(ctx, e, p, strings.TrimLeft(rest[0], "-")), "", current)
			return
		}
		if rest, err = p.Step(rest); err != nil {
			return
		}
	}
	name, _, hasValue := strings.Cut(current, "=")
	switch {
	case strings.HasPrefix(current, "-") && hasValue:
		printCandidates(e, valuesOf(ctx, e, p, strings.TrimLeft(name, "-")), name+"=", current)
	case strings.HasPrefix(current, "-"):
		printCandidates(e, flagCandidates(p), "", current)
	case len(p.Next) > 0:
		printCandidates(e, commandCandidates(p.Next), "", current)
	default:
		printCandidates(e, argumentCandidates(ctx, e, p), "", current)
	}
}

// waitsForValue reports whether rest is one flag whose value is the word at the cursor.
func waitsForValue(p *args.Parsed, rest []string) bool {
	if len(rest) != 1 || !strings.HasPrefix(rest[0], "-") || strings.Contains(rest[0], "=") {
		return false
	}
	found := p.Lookup(strings.TrimLeft(rest[0], "-"))
	return found != nil && args.TakesValue(found)
}

// printCandidates prints those that begin with what is typed of the word.
func printCandidates(e command.Env, candidates []candidate, prefix, current string) {
	for _, c := range candidates {
		if strings.HasPrefix(prefix+c.value, current) {
			fmt.Fprintf(e.Stdout, "%s%s\t%s\n", prefix, c.value, output.Printable(c.meaning))
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

func flagCandidates(p *args.Parsed) []candidate {
	out := []candidate{{"--help", "show help"}}
	for _, f := range append(append([]cli.Flag{}, p.CommandFlags()...), p.Root.Flags...) {
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			value, meaning := args.Describe(doc)
			out = append(out, candidate{"--" + f.Names()[0], strings.TrimSpace(value + " " + meaning)})
		}
	}
	return out
}

// argumentCandidates are for the next argument of a command, by its name in ArgsUsage.
func argumentCandidates(ctx context.Context, e command.Env, p *args.Parsed) []candidate {
	names := strings.Fields(p.Command.ArgsUsage)
	if len(p.Words) >= len(names) {
		return nil
	}
	return named(ctx, e, p, strings.Trim(names[len(p.Words)], "[]"))
}

// valuesOf are for the value of a flag.
func valuesOf(ctx context.Context, e command.Env, p *args.Parsed, flag string) []candidate {
	switch flag {
	case "type":
		return typeCandidates()
	case "device":
		return named(ctx, e, p, "DEVICE")
	}
	return nil
}

func typeCandidates() (out []candidate) {
	for _, t := range sessions.Types() {
		meaning := "ends on whichever is used first"
		switch {
		case !t.Metered():
			meaning = "ends when its time is used"
		case !t.Timed():
			meaning = "ends when its data is used"
		}
		out = append(out, candidate{t.String(), meaning})
	}
	return out
}

func named(ctx context.Context, e command.Env, p *args.Parsed, argument string) []candidate {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := api.NewClient(socketOf(e, p))
	var out []candidate
	switch argument {
	case "DEVICE":
		devices, _, _ := client.DevicePage(ctx, api.DeviceQuery{Newest: true}) // without an agent there is nothing to offer
		for _, d := range devices {
			out = append(out, candidate{output.ID(d.ID), strings.Join(strings.Fields(d.MAC+" "+d.IP+" "+d.Hostname), " ")})
		}
	case "ID":
		list, _, _ := client.SessionPage(ctx, api.SessionQuery{Newest: true})
		for _, s := range list {
			out = append(out, candidate{output.ID(s.ID), fmt.Sprintf("%s of device %d, %s", s.Type, s.DeviceID, s.State)})
		}
	default:
		for value := range strings.SplitSeq(argument, "|") {
			out = append(out, candidate{value: value})
		}
	}
	return out
}

// socketOf is --socket among the words, else its default.
func socketOf(e command.Env, p *args.Parsed) string {
	path := ""
	for i, word := range p.Globals {
		if value, ok := strings.CutPrefix(word, "--socket="); ok {
			path = value
		}
		if word == "--socket" && i+1 < len(p.Globals) {
			path = p.Globals[i+1]
		}
	}
	if path == "" {
		return e.DefaultSocket()
	}
	return path
}
