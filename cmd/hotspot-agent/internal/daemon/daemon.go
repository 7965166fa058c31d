// SPDX-License-Identifier: Apache-2.0

// Package daemon wires the parts of the agent and runs them: kernel, store, rules, meter
// and socket. It is the only place that knows them all.
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
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/meter"
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
	plane    *linux.Dataplane
	manager  *manager.Manager
	meter    *meter.Meter
	server   *server.Server
	events   eventLog
	answered chan dataplane.Event // devices that the kernel answers
	checked  chan struct{}        // holds one when problems are to be collected
}

// Open makes everything ready, in the order in which it is cheap to fail: what
// another agent could be using first, the kernel last. When it fails, the kernel enforces
// what it enforced before; without a database no device beside those passes. The error is
// one line that says what to do.
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
	if d.store, err = openStore(ctx, cfg.Database(), log); err != nil {
		return nil, errors.Join(err, d.adoptOnly())
	}
	if err := d.enforce(); err != nil {
		return nil, err
	}
	if err := d.build(); err != nil {
		return nil, err
	}
	if err := d.reconcile(ctx); err != nil {
		return nil, fmt.Errorf("reconcile database and kernel: %w", err)
	}
	return d, nil
}

// claim acquires what only one agent can have: state folder, socket, metrics port.
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

// adoptOnly enforces what was enforced before and no more: connected devices stay so, no
// other device passes, also after a reboot. What another version enforces stays, too.
func (d *Daemon) adoptOnly() (err error) {
	opts := PlaneOptions(d.cfg, slog.New(slog.DiscardHandler))
	opts.AdoptOnly = true
	d.plane, err = linux.Open(opts)
	if errors.Is(err, dataplane.ErrOtherVersion) {
		return nil
	}
	return err
}

func (d *Daemon) enforce() (err error) {
	opts := PlaneOptions(d.cfg, d.log)
	d.answered = make(chan dataplane.Event, answeredBacklog)
	opts.Answered = d.answered
	d.checked = make(chan struct{}, 1)
	opts.Checked = d.checked
	d.plane, err = linux.Open(opts)
	return err
}

func (d *Daemon) build() error {
	clock, err := newClock()
	if err != nil {
		return err
	}
	recoverRetired(d.plane, d.store, clock.BootID(), d.log)
	d.manager = manager.New(d.store, d.plane, clock, managerConfig(d.cfg, d.plane, d.log))
	d.meter = meter.New(d.plane, d.manager, meter.Options{Checkpoint: d.cfg.Checkpoint, Now: linux.BootNow, Log: d.log})
	d.server = server.New(d.manager, d.service(), server.Options{Access: access(d.cfg), Portal: securePortal(d.cfg), Log: d.log})
	return nil
}

func (d *Daemon) service() *Service {
	s := NewService(d.manager, d.plane, d.version, d.started)
	aside := sqlite.SetAsideFiles(d.cfg.Database())
	s.problems = func(ctx context.Context) []dataplane.Problem { return storeProblems(ctx, d.store, d.cfg, aside) }
	return s
}

// reconcile makes database and kernel agree, and logs the result.
func (d *Daemon) reconcile(ctx context.Context) error {
	before, err := d.manager.Summary(ctx)
	if err != nil {
		return err
	}
	d.events = eventLog{manager: d.manager, log: d.log, last: before.LastSeq}
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

// Close frees what Open acquired, in reverse. Run does it at its end. The kernel keeps
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
