// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/daemon"
)

// garbagePercent is how much of what is in use may be garbage beside it: on a router
// memory is dearer than the little work of collecting more often.
const garbagePercent = 40

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "`FILE` with the configuration", Value: config.DefaultPath}
}

func (a *app) runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "be the daemon (root)",
		Description: `Runs until SIGTERM or SIGINT, and then settles what was used; on_stop says what
happens to connected devices. The configuration is read once: to change it, restart.
A restart, a crash or an upgrade cuts nobody off and loses no byte, the kernel goes
on meanwhile. --socket, when given, goes before the configuration's socket, and that
before $HOTSPOT_SOCKET.

   hotspot-agent run --config /etc/hotspot-agent/config.yaml`,
		Flags:  []cli.Flag{configFlag()},
		Action: a.run,
	}
}

func (a *app) run(c *cli.Context) error {
	cfg, err := a.loadConfig(c)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	log := newLog(a.stderr, cfg)
	defer ignoreHangups(log)()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	d, err := daemon.Open(c.Context, cfg, thisBuild().Version, log)
	if err != nil {
		return notWhenStopped(c.Context, err)
	}
	debug.FreeOSMemory() // what only the start needed
	if err := daemon.DropPrivileges(log); err != nil {
		return errors.Join(err, d.Close())
	}
	return d.Run(c.Context)
}

// loadConfig reads the file that --config names. The socket is that of --socket, else
// the file's, else that of the environment.
func (a *app) loadConfig(c *cli.Context) (config.Config, error) {
	cfg, err := config.Load(c.String("config"), a.defaultConfig())
	if err == nil && c.IsSet("socket") {
		cfg.Socket = c.String("socket")
	}
	return cfg, err
}

func (a *app) defaultConfig() config.Config {
	cfg := config.Default()
	cfg.Socket = a.defaultSocket()
	return cfg
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
			log.Warn("SIGHUP is ignored: to use a changed configuration, restart the agent; connected devices do not notice")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}

// checkPrivilege fails before anything is touched when the kernel would refuse:
// programs need CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), attaching them CAP_NET_ADMIN.
func checkPrivilege() error {
	has := capabilities()
	if has(unix.CAP_NET_ADMIN) && (has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON)) {
		return nil
	}
	return &failure{
		err:  fmt.Errorf("not permitted: uid %d may not load programs into the kernel", os.Geteuid()),
		hint: "run it as root (sudo), or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and CAP_SYS_ADMIN to mount a bpffs",
	}
}

// capabilities reports which capabilities this process has in effect, capget(2).
func capabilities() func(capability int) bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return func(int) bool { return os.Geteuid() == 0 }
	}
	return func(capability int) bool { return data[capability/32].Effective&(1<<(capability%32)) != 0 }
}
