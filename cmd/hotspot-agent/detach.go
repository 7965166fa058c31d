// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

func (a *app) detachCommand() *cli.Command {
	return &cli.Command{
		Name:  "detach",
		Usage: "remove programs, links and pins: the network is open again (root)",
		Description: `For when the agent is not to enforce any more. The agent has to be stopped first: a
running one would attach again. The database stays. Detaching what is not there
succeeds.

   systemctl stop hotspot-agent && hotspot-agent detach`,
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "bpffs", Usage: "`FOLDER` of the pins, instead of the configuration's"},
		},
		Action: a.detach,
	}
}

func (a *app) detach(c *cli.Context) error {
	cfg, err := a.loadOrDefault(c)
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
		return &failure{
			err:  fmt.Errorf("an agent is running (socket %s, state_dir %s), it would attach again", cfg.Socket, cfg.StateDir),
			hint: "stop it first (systemctl stop hotspot-agent)",
		}
	}
	if err := dataplane.Detach(cfg.BPFFS); err != nil {
		return err
	}
	if !c.Bool("json") {
		fmt.Fprintf(a.stdout, "detached: nothing of hotspot-agent is left below %s, the network is open\n", cfg.BPFFS)
	}
	return nil
}

// loadOrDefault is loadConfig, but the default file need not exist.
func (a *app) loadOrDefault(c *cli.Context) (config.Config, error) {
	if _, err := os.Stat(c.String("config")); c.IsSet("config") || !errors.Is(err, fs.ErrNotExist) {
		return a.loadConfig(c)
	}
	cfg := a.defaultConfig()
	cfg.Socket = c.String("socket")
	return cfg, nil
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
