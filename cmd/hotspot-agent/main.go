// SPDX-License-Identifier: Apache-2.0

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

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/quiet"
)

// Exit statuses, as DESIGN and the help promise them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	quiet.Restore()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the whole program, for tests as for main: args without the program's
// name, env like os.Getenv. It returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	a := newApp(env, stdout, stderr)
	if len(args) > 0 && args[0] == completeWord {
		a.complete(ctx, args[1:])
		return exitDone
	}
	return a.report(a.dispatch(ctx, args))
}
