// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// printHelp describes the command that was understood, or the whole program.
func printHelp(w io.Writer, at *walk) {
	title, usage, arguments, about := programName, at.root.Usage, "", at.root.Description
	if at.command != nil {
		title += " " + at.command.HelpName
		usage, arguments, about = at.command.Usage, at.command.ArgsUsage, at.command.Description
	}
	if len(at.siblings) > 0 {
		arguments = "COMMAND"
	}
	fmt.Fprintf(w, "%s: %s\n\nUSAGE:\n   %s\n", title, usage, strings.TrimSpace(title+" [flags] "+arguments))
	if about != "" {
		fmt.Fprintf(w, "\n%s\n", about)
	}
	section(w, "COMMANDS", commandLines(at.siblings))
	section(w, "FLAGS", flagLines(at.commandFlags()))
	section(w, "GLOBAL FLAGS", append(flagLines(at.root.Flags), [2]string{"--help, -h", "show this"}))
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
		value, meaning := describe(doc)
		if now := doc.GetValue(); value != "" && now != "" && now != "0" {
			meaning += " (default " + now + ")"
		}
		lines = append(lines, [2]string{strings.TrimSpace("--" + f.Names()[0] + " " + value), meaning})
	}
	return lines
}

// describe splits a flag's usage: it begins with what the flag takes, in backquotes.
func describe(f cli.DocGenerationFlag) (value, meaning string) {
	rest, found := strings.CutPrefix(f.GetUsage(), "`")
	if !found {
		return "", f.GetUsage()
	}
	value, meaning, _ = strings.Cut(rest, "`")
	return value, strings.TrimSpace(meaning)
}
