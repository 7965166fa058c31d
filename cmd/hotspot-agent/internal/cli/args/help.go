// SPDX-License-Identifier: Apache-2.0

package args

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// PrintHelp describes the command that was parsed, or the whole program.
func PrintHelp(w io.Writer, at *Parsed) {
	title, usage, arguments, about := exit.Program, at.Root.Usage, "", at.Root.Description
	if at.Command != nil {
		title += " " + at.Command.HelpName
		usage, arguments, about = at.Command.Usage, at.Command.ArgsUsage, at.Command.Description
	}
	if len(at.Next) > 0 {
		arguments = "COMMAND"
	}
	fmt.Fprintf(w, "%s: %s\n\nUSAGE:\n   %s\n", title, usage, strings.TrimSpace(title+" [flags] "+arguments))
	if about != "" {
		fmt.Fprintf(w, "\n%s\n", about)
	}
	section(w, "COMMANDS", commandLines(at.Next))
	section(w, "FLAGS", flagLines(at.CommandFlags()))
	section(w, "GLOBAL FLAGS", append(flagLines(at.Root.Flags), [2]string{"--help, -h", "show this"}))
}

// section prints lines of two columns under a heading.
func section(w io.Writer, heading string, lines [][2]string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", heading)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintf(tw, "   %s\t%s\n", line[0], line[1])
	}
	_ = tw.Flush()
}

func commandLines(commands []*cli.Command) (lines [][2]string) {
	for _, command := range commands {
		lines = append(lines, [2]string{command.Name, command.Usage})
	}
	return lines
}

// flagLines shows what each flag takes, and its default.
func flagLines(flags []cli.Flag) (lines [][2]string) {
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		value, meaning := Describe(doc)
		if now := doc.GetValue(); value != "" && now != "" && now != "0" {
			meaning += " (default " + now + ")"
		}
		lines = append(lines, [2]string{strings.TrimSpace("--" + f.Names()[0] + " " + value), meaning})
	}
	return lines
}

// Describe splits a flag's usage: it begins with what the flag takes, in backquotes.
func Describe(f cli.DocGenerationFlag) (value, meaning string) {
	rest, found := strings.CutPrefix(f.GetUsage(), "`")
	if !found {
		return "", f.GetUsage()
	}
	value, meaning, _ = strings.Cut(rest, "`")
	return value, strings.TrimSpace(meaning)
}
