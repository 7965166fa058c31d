// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
)

const (
	repairEvery = time.Minute     // database and kernel are compared this often
	forgetEvery = 6 * time.Hour   // what is not kept is deleted this often
	forgetFirst = 5 * time.Minute // after the start, whose work comes first
	stopWithin  = 5 * time.Second // for requests that are under way when the agent stops
)

// Run serves until ctx ends, then stops cleanly as on_stop says: what was used is
// in the database when it returns. Nil is a clean stop.
func (d *Daemon) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	metering, stopMetering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetering()
	metered := make(chan error, 1)
	go func() { metered <- d.meter.Run(metering) }()

	work.Go(func() error { return d.serve(ctx) })
	if d.metrics != nil {
		work.Go(func() error { return serveMetrics(ctx, d.metrics, d.service(), d.log) })
	}
	work.Go(func() error { return d.repair(ctx) })
	work.Go(func() error { return d.forget(ctx) })
	storeDue := make(chan struct{}, 1)
	work.Go(func() error { return watchStore(ctx, d.store, storeDue, d.log) })
	work.Go(func() error { return d.events.follow(ctx) })
	work.Go(func() error { return d.publishUnprotected(ctx) })
	work.Go(func() error { return d.publishAnswered(ctx) })
	work.Go(func() error { return d.reportProblems(ctx, storeDue) })
	work.Go(func() error { return d.observeClients(ctx) })
	work.Go(func() error { return feedWatchdog(ctx, d.log, d.alive) })
	work.Go(func() error { return d.watchMeter(ctx, metered) })

	d.log.Info("agent is ready", "version", d.version, "socket", d.cfg.Socket, "interfaces", d.cfg.Interfaces)
	notify(d.log, "READY=1\nSTATUS=serving "+d.cfg.Socket)
	err := work.Wait()
	// The meter outlives the server: a purchase that was answered is metered.
	stopMetering()
	return errors.Join(err, d.stop(<-metered))
}

// watchMeter ends everything when the meter ends by itself.
func (d *Daemon) watchMeter(ctx context.Context, metered chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-metered:
		metered <- nil // for Run, which waits for it as well
		return fmt.Errorf("the meter stopped: %w", err)
	}
}

// serve answers the socket until ctx ends.
func (d *Daemon) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(d.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("socket %s: %w", d.cfg.Socket, err)
	case <-ctx.Done():
	}
	notify(d.log, "STOPPING=1")
	d.log.Info("agent is stopping", "on_stop", string(d.cfg.OnStop))
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := d.server.Shutdown(within); err != nil {
		d.log.Warn("requests aborted at the stop", "error", err)
	}
	return nil
}

// stop settles and closes everything, after the meter ended with metered.
func (d *Daemon) stop(metered error) error {
	within, cancel := context.WithTimeout(context.Background(), 2*stopWithin)
	defer cancel()
	disconnect := d.cfg.OnStop == config.StopDisconnect
	err := d.manager.Stop(within, disconnect)
	if err != nil {
		err = fmt.Errorf("last settling: %w", err)
	}
	d.events.writeRest(within)
	if closed := d.Close(); closed != nil {
		d.log.Warn("close failed", "error", closed)
	}
	d.log.Info("agent has stopped", "disconnected", disconnect)
	return errors.Join(metered, err)
}

// repair compares database and kernel every repairEvery, and repairs what differs.
func (d *Daemon) repair(ctx context.Context) error {
	return every(ctx, repairEvery, func() {
		if err := d.manager.Reconcile(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("reconcile failed, repeated in a minute", "error", err)
		}
	})
}

// forget deletes what is not kept, soon after the start, and every forgetEvery.
func (d *Daemon) forget(ctx context.Context) error {
	forget := func() {
		if err := d.manager.Forget(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("old devices and sessions not deleted, repeated later", "error", err)
		}
	}
	select {
	case <-time.After(forgetFirst):
		forget()
	case <-ctx.Done():
		return nil
	}
	return every(ctx, forgetEvery, forget)
}

// observeClients has the rules compare where clients are seen with what they know.
func (d *Daemon) observeClients(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case seen := <-d.plane.Neighbors():
			if err := d.manager.Sight(ctx, seen); err != nil && ctx.Err() == nil {
				d.log.Error("client.conflict not recorded", "mac", seen.MAC, "error", err)
			}
		}
	}
}

// alive fails when the rules or the database do not answer.
func (d *Daemon) alive(ctx context.Context) error {
	_, err := d.manager.Summary(ctx)
	return err
}
