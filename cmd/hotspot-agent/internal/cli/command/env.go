// SPDX-License-Identifier: Apache-2.0

// Package command is what the commands of the program share: where they write, how
// they reach the agent, and how they read its configuration.
package command

import (
	"cmp"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// Env is what one call of the program runs in.
type Env struct {
	Getenv         func(string) string // as os.Getenv
	Stdout, Stderr io.Writer
	Version        string // set by the linker; empty: of the build
}

// Func is a command: it parses, calls, prints.
type Func func(Env, *cli.Context) error

// Action is do as urfave/cli takes it.
func (e Env) Action(do Func) cli.ActionFunc {
	return func(c *cli.Context) error { return do(e, c) }
}

// DefaultSocket is where the agent listens unless --socket says otherwise.
func (e Env) DefaultSocket() string {
	return cmp.Or(e.Getenv("HOTSPOT_SOCKET"), config.DefaultSocket)
}

// Client talks to the agent of --socket.
func (e Env) Client(c *cli.Context) *api.Client { return api.NewClient(c.String("socket")) }
