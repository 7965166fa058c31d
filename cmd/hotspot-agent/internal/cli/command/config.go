// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
)

// ConfigFlag is --config of the commands that read the daemon's configuration.
func ConfigFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "`FILE` with the configuration", Value: config.DefaultPath}
}

// LoadConfig reads the file of --config. The socket is that of --socket, else the
// file's, else that of the environment.
func (e Env) LoadConfig(c *cli.Context) (config.Config, error) {
	cfg, err := config.Load(c.String("config"), e.defaultConfig())
	if err == nil && c.IsSet("socket") {
		cfg.Socket = c.String("socket")
	}
	return cfg, err
}

// LoadConfigOrDefault is LoadConfig for commands that work without a file at the
// default path.
func (e Env) LoadConfigOrDefault(c *cli.Context) (config.Config, error) {
	if _, err := os.Stat(c.String("config")); c.IsSet("config") || !errors.Is(err, fs.ErrNotExist) {
		return e.LoadConfig(c)
	}
	cfg := e.defaultConfig()
	cfg.Socket = c.String("socket")
	return cfg, nil
}

func (e Env) defaultConfig() config.Config {
	cfg := config.Default()
	cfg.Socket = e.DefaultSocket()
	return cfg
}
