// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	repairEvery = time.Minute     // database and kernel are compared this often
	stopWithin  = 5 * time.Second // for requests that are under way when the agent stops
	beatTimeout = 5 * time.Second // for the sign of life of the watchdog
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
	work.Go(func() error { return d.serveMetrics(ctx) })
	work.Go(func() error { return d.repair(ctx) })
	work.Go(func() error { return d.watchStore(ctx) })
	work.Go(func() error { return d.logEvents(ctx) })
	work.Go(func() error { return d.tellExposures(ctx) })
	work.Go(func() error { return d.watchClients(ctx) })
	work.Go(func() error { return d.watchdog(ctx) })
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
		d.log.Warn("requests were cut off", "error", err)
	}
	return nil
}

// stop settles and lets go, after the meter ended with metered.
func (d *Daemon) stop(metered error) error {
	within, cancel := context.WithTimeout(context.Background(), 2*stopWithin)
	defer cancel()
	disconnect := d.cfg.OnStop == config.StopDisconnect
	err := d.manager.Stop(within, disconnect)
	if err != nil {
		err = fmt.Errorf("the last settling: %w", err)
	}
	d.logRest(within)
	if closed := d.Close(); closed != nil {
		d.log.Warn("closing", "error", closed)
	}
	d.log.Info("agent has stopped", "disconnected", disconnect)
	return errors.Join(metered, err)
}

// repair compares database and kernel now and then, and mends what differs.
func (d *Daemon) repair(ctx context.Context) error {
	return every(ctx, repairEvery, func() {
		if err := d.manager.Reconcile(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("comparing database and kernel failed, will try again", "error", err)
		}
	})
}

// watchClients tells the rules where clients are seen.
func (d *Daemon) watchClients(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case seen := <-d.plane.Neighbors():
			if err := d.manager.Sight(ctx, seen); err != nil && ctx.Err() == nil {
				d.log.Error("where a client was seen had no effect", "mac", seen.MAC, "error", err)
			}
		}
	}
}

// logEvents writes each transition to the log.
func (d *Daemon) logEvents(ctx context.Context) error {
	subscription := d.manager.Subscribe(d.logged)
	defer subscription.Close()
	for {
		event, err := subscription.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Warn("events are no longer logged", "error", err)
			}
			return nil
		}
		d.logEvent(event)
	}
}

// logRest writes what happened while the agent stopped.
func (d *Daemon) logRest(ctx context.Context) {
	rest, err := d.manager.Events(ctx, d.logged, 0)
	if err != nil {
		d.log.Warn("the last events are not logged", "error", err)
	}
	for _, event := range rest {
		d.logEvent(event)
	}
}

func (d *Daemon) logEvent(event sessions.Event) {
	d.log.Info("event", eventAttrs(event)...)
	d.logged = event.Seq
}

// every calls do at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do()
		}
	}
}
