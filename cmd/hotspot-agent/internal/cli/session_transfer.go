// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func sessionExportCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "print the sessions that have something left, one JSON object a line",
		Description: `Each line is a purchase without the ids of its database: what session import takes.

   hotspot-agent session export --all > sessions.jsonl`,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "also what is consumed or expired", DisableDefaultText: true}},
		Action: func(c *cli.Context) error { return e.Client(c).Export(c.Context, c.Bool("all"), e.Stdout) },
	}
}

func sessionImportCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "store the sessions of an export: all of them, or none",
		ArgsUsage: "[FILE]",
		Description: `Reads FILE, or what is piped in. Sessions that are there already stay as they are, so
it can be repeated. A line that is refused is named, and nothing is stored then.

   hotspot-agent session import < sessions.jsonl`,
		Action: e.Action(sessionImport),
	}
}

func sessionImport(e command.Env, c *cli.Context) error {
	lines, err := readFileOrInput(c.Args().First())
	if err != nil {
		return &exit.Failure{Err: err, Hint: "give it a file that session export wrote"}
	}
	done, err := e.Client(c).Import(c.Context, lines)
	if err != nil {
		return err
	}
	return output.Show(e.Stdout, c, done, func(w io.Writer, done api.Imported) {
		fmt.Fprintf(w, "%s imported, %d already there\n", output.Count(done.Imported, "session", "sessions"), done.Known)
	})
}

func readFileOrInput(path string) ([]byte, error) {
	if path == "" || path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}
