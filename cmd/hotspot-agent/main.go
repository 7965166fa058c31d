// SPDX-License-Identifier: Apache-2.0

// The runtime would ask each second how many CPUs it may use. A router has as many as ever.
//go:debug updatemaxprocs=0

// Command hotspot-agent is the daemon of a prepaid WiFi hotspot and its command
// line. `hotspot-agent run` is the daemon; every other command asks it over its
// socket, except doctor, detach, version and completion, which stand alone.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/teaterm"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	teaterm.Restore()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the whole program: args without the program's name, getenv like os.Getenv.
// It returns the exit status.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	return cli.Run(ctx, command.Env{Getenv: getenv, Stdout: stdout, Stderr: stderr, Version: version}, args)
}
