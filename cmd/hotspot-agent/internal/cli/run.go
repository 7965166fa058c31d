// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
)

// garbagePercent is how much of what is in use may be garbage beside it: on a router
// memory is dearer than the little work of collecting more often.
const garbagePercent = 40

func runCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run the daemon (root)",
		Description: `Runs until SIGTERM or SIGINT, and then settles what was used; on_stop says what
happens to connected devices. The configuration is read once: to change it, restart.
A restart, a crash or an upgrade disconnects no device and loses no byte: the kernel
enforces meanwhile. --socket overrides the configuration's socket, and that overrides
$HOTSPOT_SOCKET.

   hotspot-agent run --config /etc/hotspot-agent/config.yaml`,
		Flags:  []cli.Flag{command.ConfigFlag()},
		Action: e.Action(run),
	}
}

func run(e command.Env, c *cli.Context) error {
	cfg, err := e.LoadConfig(c)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	log := newLog(e.Stderr, cfg)
	defer ignoreHangups(log)()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	d, err := daemon.Open(c.Context, cfg, e.Build().Version, log)
	if err != nil {
		return notWhenStopped(c.Context, err)
	}
	debug.FreeOSMemory() // what only the start needed
	if err := daemon.DropPrivileges(log); err != nil {
		return errors.Join(err, d.Close())
	}
	return d.Run(c.Context)
}

// notWhenStopped makes a start that was called off no failure.
func notWhenStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func newLog(w io.Writer, cfg config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// ignoreHangups answers SIGHUP with a line in the log: the configuration is read at
// the start only, and a terminal that closes must not end the daemon.
func ignoreHangups(log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			log.Warn("SIGHUP ignored: to use a changed configuration, restart the agent; devices stay connected")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}
