// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
)

func versionCommand(e command.Env) *cli.Command {
	return &cli.Command{Name: "version", Usage: "print the version", Action: e.Action(version)}
}

func version(e command.Env, c *cli.Context) error {
	return output.Show(e.Stdout, c, e.Build(), func(w io.Writer, b command.Build) {
		fmt.Fprintf(w, "%s %s (commit %s, %s, %s)\n", exit.Program, b.Version, cmp.Or(b.Commit, "unknown"), b.Go, b.Platform)
	})
}
