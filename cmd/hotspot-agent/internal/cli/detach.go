// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
)

func detachCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "detach",
		Usage: "remove programs, links and pins: the network is open again (root)",
		Description: `For when the agent is not to enforce any more. The agent has to be stopped first: a
running one would attach again. The database stays. Detaching what is not there
succeeds. Where another folder's programs are on the interfaces, it fails and names it.

   systemctl stop hotspot-agent && hotspot-agent detach`,
		Flags: []cli.Flag{
			command.ConfigFlag(),
			&cli.StringFlag{Name: "bpffs", Usage: "`FOLDER` of the pins, instead of the configuration's"},
		},
		Action: e.Action(detach),
	}
}

func detach(e command.Env, c *cli.Context) error {
	cfg, err := e.LoadConfigOrDefault(c)
	if err != nil {
		return err
	}
	if c.IsSet("bpffs") {
		cfg.BPFFS = c.String("bpffs")
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	if running(c.Context, cfg) {
		return &exit.Failure{
			Err:  fmt.Errorf("an agent is running (socket %s, state_dir %s), it would attach again", cfg.Socket, cfg.StateDir),
			Hint: "stop it first (systemctl stop hotspot-agent)",
		}
	}
	if err := linux.Detach(cfg.BPFFS); err != nil {
		return err
	}
	copies, err := linux.ForeignCopies(cfg.BPFFS, cfg.Interfaces)
	if err != nil {
		return fmt.Errorf("detached, but whether the network is open is unknown: %w", err)
	}
	if len(copies) > 0 {
		return &exit.Failure{
			Err:  fmt.Errorf("nothing is left below %s, but the network is not open: %s", cfg.BPFFS, copies[0].Detail),
			Hint: "detach the other folder as well",
		}
	}
	if !c.Bool("json") {
		fmt.Fprintf(e.Stdout, "detached: nothing of hotspot-agent is left below %s, the network is open\n", cfg.BPFFS)
	}
	return nil
}

// running reports whether an agent holds the state folder, or answers on the socket.
func running(ctx context.Context, cfg config.Config) bool {
	if daemon.HoldsState(cfg.StateDir) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := api.NewClient(cfg.Socket).Status(ctx)
	return err == nil
}
