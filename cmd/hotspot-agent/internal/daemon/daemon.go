// SPDX-License-Identifier: Apache-2.0

// Package daemon puts the parts of the agent together and runs them: kernel,
// store, rules, meter and socket. It is the only place that knows them all.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/meter"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// Daemon is the agent. Open makes it, Run runs it once.
type Daemon struct {
	cfg     config.Config
	version string
	log     *slog.Logger
	started time.Time

	state    *stateLock
	listener net.Listener
	metrics  net.Listener // nil when they are off
	store    *sqlite.Store
	plane    *dataplane.Dataplane
	manager  *manager.Manager
	meter    *meter.Meter
	server   *server.Server
	logged   int64 // events up to here are in the log
}

// Open makes everything ready, in the order in which it is cheap to fail: what
// another agent could be using first, the kernel last. When it fails, what was
// enforced before is enforced still, and where that is for want of a database, nobody
// who was not connected passes. The error is one line that says what to do.
func Open(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg, version: version, log: log, started: time.Now()}
	defer func() {
		if err != nil {
			_ = d.Close() // what matters is why it did not open
		}
	}()
	if err := d.claim(ctx); err != nil {
		return nil, err
	}
	if err := d.openStore(ctx); err != nil {
		return nil, errors.Join(err, d.shut())
	}
	if err := d.enforce(); err != nil {
		return nil, err
	}
	if err := d.build(); err != nil {
		return nil, err
	}
	if err := d.join(ctx); err != nil {
		return nil, fmt.Errorf("joining the database and the kernel: %w", err)
	}
	return d, nil
}

func access(cfg config.Config) server.Access {
	return server.Access{Operators: cfg.SocketGroup, Viewers: cfg.ViewerGroup}
}

// claim takes what only one agent can have.
func (d *Daemon) claim(ctx context.Context) (err error) {
	if d.state, err = lockState(d.cfg.StateDir); err != nil {
		return err
	}
	if d.listener, err = server.Listen(d.cfg.Socket, access(d.cfg)); err != nil {
		return err
	}
	if d.cfg.MetricsListen == "" {
		return nil
	}
	var listening net.ListenConfig
	if d.metrics, err = listening.Listen(ctx, "tcp", d.cfg.MetricsListen); err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	return nil
}

// shut enforces what was enforced before and no more: who is connected goes on, and
// nobody else passes, also after a reboot. What another version enforces goes on, too.
func (d *Daemon) shut() (err error) {
	opts := PlaneOptions(d.cfg, slog.New(slog.DiscardHandler))
	opts.Keep = true
	d.plane, err = dataplane.Open(opts)
	if errors.Is(err, dataplane.ErrOtherVersion) {
		return nil
	}
	return err
}

func (d *Daemon) enforce() (err error) {
	d.plane, err = dataplane.Open(PlaneOptions(d.cfg, d.log))
	return err
}

// PlaneOptions is the kernel's part of a configuration.
func PlaneOptions(cfg config.Config, log *slog.Logger) dataplane.Options {
	return dataplane.Options{
		BPFFS:          cfg.BPFFS,
		Interfaces:     cfg.Interfaces,
		MaxClients:     cfg.MaxClients,
		Portals:        cfg.Portals,
		WalledGarden:   cfg.WalledGarden,
		Attach:         cfg.Attach,
		Limiter:        cfg.Limiter,
		TCPWindowClamp: cfg.Steer,
		Uplink:         cfg.Uplink,
		Bind:           cfg.Bind == sessions.BindIP,
		Log:            log,
	}
}

func (d *Daemon) build() error {
	clock, err := newClock()
	if err != nil {
		return err
	}
	d.inherit(clock.BootID())
	d.manager = manager.New(d.store, d.plane, clock, d.rules())
	d.meter = meter.New(d.plane, d.manager, meter.Options{Checkpoint: d.cfg.Checkpoint, Now: dataplane.BootNow, Log: d.log})
	d.server = server.New(d.manager, d.service(), server.Options{Access: access(d.cfg), Log: d.log})
	return nil
}

// rules is what the configuration says to the rules.
func (d *Daemon) rules() manager.Config {
	return manager.Config{
		GlobalDownBPS:     d.cfg.GlobalDownBPS,
		GlobalUpBPS:       d.cfg.GlobalUpBPS,
		LowBalancePercent: d.cfg.LowBalancePercent,
		IdleTimeout:       d.cfg.IdleTimeout,
		Checkpoint:        d.cfg.Checkpoint,
		ResumeAfterReboot: d.cfg.AfterReboot == config.RebootResume,
		Bind:              d.cfg.Bind,
		Locate:            d.plane.Locate,
		Trusted:           d.cfg.Trusted,
		Blocked:           d.cfg.Blocked,
		RouterMACs:        d.plane.RouterMACs,
		Dial:              server.DialProvider,
		Log:               d.log,
	}
}

// join makes database and kernel agree, and says what there is.
func (d *Daemon) join(ctx context.Context) error {
	before, err := d.manager.Summary(ctx)
	if err != nil {
		return err
	}
	d.logged = before.LastSeq
	if err := d.manager.Reconcile(ctx); err != nil {
		return err
	}
	after, err := d.manager.Summary(ctx)
	if err != nil {
		return err
	}
	d.log.Info("database and kernel agree", "devices", after.Devices, "connected", after.Connected)
	return nil
}

// Close frees what Open took, in reverse. Run does it at its end. The kernel goes on
// enforcing.
func (d *Daemon) Close() error {
	var errs []error
	if d.plane != nil {
		errs = append(errs, d.plane.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	for _, ln := range []net.Listener{d.metrics, d.listener} {
		if ln != nil {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if d.state != nil {
		errs = append(errs, d.state.release())
	}
	return errors.Join(errs...)
}
