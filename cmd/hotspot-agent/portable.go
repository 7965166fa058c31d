// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func (a *app) sessionExportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "print the sessions that have something left, one JSON object a line",
		Description: `Each line is a purchase without the ids of its database: what session import takes.

   hotspot-agent session export --all > sessions.jsonl`,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "also what is consumed or expired", DisableDefaultText: true}},
		Action: func(c *cli.Context) error { return a.client(c).Export(c.Context, c.Bool("all"), a.stdout) },
	}
}

func (a *app) sessionImportCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "store the sessions of an export: all of them, or none",
		ArgsUsage: "[FILE]",
		Description: `Reads FILE, or what is piped in. Sessions that are there already stay as they are, so
it can be repeated. A line that is refused is named, and nothing is stored then.

   hotspot-agent session import < sessions.jsonl`,
		Action: a.sessionImport,
	}
}

func (a *app) sessionImport(c *cli.Context) error {
	lines, err := readFileOrInput(c.Args().First())
	if err != nil {
		return &failure{err: err, hint: "give it a file that session export wrote"}
	}
	done, err := a.client(c).Import(c.Context, lines)
	if err != nil {
		return err
	}
	return show(a, c, done, func(w io.Writer, done api.Imported) {
		fmt.Fprintf(w, "%s imported, %d already there\n", count(done.Imported, "session", "sessions"), done.Known)
	})
}

func readFileOrInput(path string) ([]byte, error) {
	if path == "" || path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}
