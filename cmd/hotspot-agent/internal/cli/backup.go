// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
)

func backupCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "backup", Usage: "copy the database to a new file, also while customers surf (root)", ArgsUsage: "FILE",
		Description: `The copy is whole: all that was sold, and what was used up to the last checkpoint.
FILE must not exist. It has the hashes of claim codes: keep it private.

   hotspot-agent backup /mnt/stick/hotspot-$(date +%F).db`,
		Flags:  []cli.Flag{command.ConfigFlag()},
		Action: e.Action(backup),
	}
}

func restoreCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "put a backup in the place of the database; the agent has to be stopped (root)", ArgsUsage: "FILE",
		Description: `FILE is read as a whole first, and copied. The former database is kept under another
name. What was sold after the backup is not known any more; a device that such a session
let through is cut off by the next start.

   systemctl stop hotspot-agent
   hotspot-agent restore /mnt/stick/hotspot-2026-11-30.db && systemctl start hotspot-agent`,
		Flags:  []cli.Flag{command.ConfigFlag()},
		Action: e.Action(restore),
	}
}

// backedUp and restored are the answers of the two commands.
type backedUp struct {
	Database string `json:"database"`
	File     string `json:"file"`
}

type restored struct {
	Database string `json:"database"`
	Replaced string `json:"replaced,omitempty"` // the former database
}

func backup(e command.Env, c *cli.Context) error {
	cfg, err := e.LoadConfigOrDefault(c)
	if err != nil {
		return err
	}
	done := backedUp{Database: cfg.Database(), File: c.Args().First()}
	if err := daemon.Backup(c.Context, cfg, done.File); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return output.Show(e.Stdout, c, done, func(w io.Writer, b backedUp) {
		fmt.Fprintf(w, "%s is a backup of %s\n", b.File, b.Database)
	})
}

func restore(e command.Env, c *cli.Context) error {
	cfg, err := e.LoadConfigOrDefault(c)
	if err != nil {
		return err
	}
	done, err := daemon.Restore(c.Context, cfg, c.Args().First())
	var busy *daemon.InUseError
	if errors.As(err, &busy) {
		return &exit.Failure{
			Err:  fmt.Errorf("restore: %w, on socket %s", busy, cfg.Socket),
			Hint: "stop it first (systemctl stop hotspot-agent); devices stay connected meanwhile",
		}
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	answer := restored{Database: cfg.Database(), Replaced: done.Replaced}
	return output.Show(e.Stdout, c, answer, func(w io.Writer, r restored) {
		fmt.Fprintf(w, "%s is restored\n", r.Database)
		if r.Replaced != "" {
			fmt.Fprintf(w, "the former database is kept as %s; remove it when it is done with\n", r.Replaced)
		}
	})
}
