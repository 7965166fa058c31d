// SPDX-License-Identifier: Apache-2.0

// Package ledger commits transactions to the store, syncs them, and publishes their events
// once they are durable.
package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/background"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Ledger is the store with what follows from a transaction once it committed: the table
// of running sessions, the durability of what was stored, the events. Safe for concurrent
// use.
type Ledger struct {
	Store      sessions.Store    // to read from; writes go through Update and Commit
	Background *background.Group // work that no caller waits for

	clock *wallclock.Clock
	table *running.Table
	cfg   Config
	log   *slog.Logger

	commits sync.Mutex // one transaction and its consequences in memory; guards sold
	sold    time.Time  // time of the last sale
	queue   durabilityQueue
	hub     hub
}

// Config is what the ledger takes from the agent's configuration.
type Config struct {
	LowBalancePercent int // session.low is published when this share is left; 0 never
	// Deliver takes the sessions of a durable transaction; set before the first one.
	Deliver func([]sessions.Session)
	Log     *slog.Logger
}

// New returns the ledger of a store.
func New(store sessions.Store, clock *wallclock.Clock, table *running.Table, cfg Config) *Ledger {
	return &Ledger{Store: store, clock: clock, table: table, Background: background.New(), cfg: cfg, log: cfg.Log}
}

// BatchSize is how many sessions one transaction changes at most, so that others have a
// turn in between.
const BatchSize = 256

// Update runs fn in a transaction that is on the disk when it returns: for what was
// bought. Once begun it is not cancelled: the kernel may have been changed already.
func (l *Ledger) Update(ctx context.Context, fn func(*Tx) error) error {
	c, err := l.Transact(ctx, fn)
	if err != nil {
		return err
	}
	return l.Seal(c)
}

// Seal returns when a transaction is on the disk, and publishes it.
func (l *Ledger) Seal(c *Tx) error {
	if err := l.Store.Sync(); err != nil {
		return err
	}
	l.publish(c)
	return nil
}

// Commit is Update for usage: the disk has it some milliseconds after Commit returned. A
// machine that dies in between loses what was used since the last checkpoint, as it does
// at any other time.
func (l *Ledger) Commit(ctx context.Context, fn func(*Tx) error) error {
	c, err := l.Transact(ctx, fn)
	return l.sealLater(c, err)
}

// CommitAt is Commit for a decision that was taken at an instant.
func (l *Ledger) CommitAt(ctx context.Context, now sessions.Instant, fn func(*Tx) error) error {
	c, err := l.transact(ctx, func() sessions.Instant { return now }, fn)
	return l.sealLater(c, err)
}

func (l *Ledger) sealLater(c *Tx, err error) error {
	if err == nil && (c.last > 0 || len(c.Stored) > 0) {
		l.syncLater(c)
	}
	return err
}

// Transact runs fn in a transaction that Seal brings to the disk and publishes. The table
// of running sessions has it when Transact returns.
func (l *Ledger) Transact(ctx context.Context, fn func(*Tx) error) (*Tx, error) {
	return l.transact(ctx, l.clock.Read, fn)
}

func (l *Ledger) transact(ctx context.Context, now func() sessions.Instant, fn func(*Tx) error) (*Tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.commits.Lock()
	defer l.commits.Unlock()
	c := &Tx{ledger: l}
	err := l.Store.Commit(context.WithoutCancel(ctx), func(tx sessions.Tx) error {
		*c = Tx{Tx: tx, ledger: l, Now: now()}
		return fn(c)
	})
	if err != nil {
		return nil, err
	}
	l.table.Apply(c.Stored, c.Known, c.Now)
	for _, fn := range c.after {
		fn()
	}
	return c, nil
}

// publish notifies subscribers and providers of a transaction that is on the disk: a
// power cut could undo one that is not.
func (l *Ledger) publish(c *Tx) {
	l.cfg.Deliver(c.Stored)
	if c.last > 0 {
		l.hub.release(c.last)
	}
}

// RunningSession returns the device's running session, if any.
func RunningSession(tx sessions.Tx, id sessions.DeviceID) (sessions.Session, bool, error) {
	list, err := tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Running}})
	if err != nil || len(list) == 0 {
		return sessions.Session{}, false, err
	}
	return list[0], true, nil
}

// Device returns one device. Codes: NotFound.
func (l *Ledger) Device(ctx context.Context, id sessions.DeviceID) (sessions.Device, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) (sessions.Device, error) { return tx.Device(id) })
}

// DeviceByMAC returns the device that has a MAC. Codes: NotFound.
func (l *Ledger) DeviceByMAC(ctx context.Context, mac dataplane.MAC) (sessions.Device, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) (sessions.Device, error) { return tx.DeviceByMAC(mac) })
}

// Lookup returns a device and its running session, nil for none. Under the
// device's lock that session stays the running one; it may only be debited.
func (l *Ledger) Lookup(ctx context.Context, id sessions.DeviceID) (sessions.Device, *sessions.Session, error) {
	var d sessions.Device
	var s sessions.Session
	var running bool
	err := l.Store.View(ctx, func(tx sessions.Tx) error {
		var err error
		if d, err = tx.Device(id); err == nil {
			s, running, err = RunningSession(tx, id)
		}
		return err
	})
	if err != nil || !running {
		return d, nil, err
	}
	return d, &s, nil
}

// DeviceSessions returns a device with its sessions in some states.
func (l *Ledger) DeviceSessions(ctx context.Context, id sessions.DeviceID, states ...sessions.State) (sessions.Device, []sessions.Session, error) {
	var d sessions.Device
	list, err := sessions.View(ctx, l.Store, func(tx sessions.Tx) (list []sessions.Session, err error) {
		if d, err = tx.Device(id); err != nil {
			return nil, err
		}
		return tx.Sessions(sessions.SessionFilter{Device: id, States: states})
	})
	return d, list, err
}

// SaleTime is the time of a sale. It names the purchase in an export, so that no
// two have the same, also where the clock is coarse. The caller holds commits.
func (l *Ledger) SaleTime(now time.Time) time.Time {
	if behind := l.sold.Sub(now); behind >= 0 && behind < time.Second {
		now = l.sold.Add(1)
	}
	l.sold = now
	return now
}

// RunningDevices returns the devices that run something, as the store has it.
func (l *Ledger) RunningDevices(ctx context.Context) ([]sessions.DeviceID, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) ([]sessions.DeviceID, error) { return tx.RunningDevices() })
}

// RunningOf returns what devices run.
func (l *Ledger) RunningOf(ctx context.Context, devices []sessions.DeviceID) ([]sessions.Session, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.RunningOf(devices) })
}

// Session returns a session as it is in the store.
func (l *Ledger) Session(ctx context.Context, id sessions.SessionID) (sessions.Session, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) (sessions.Session, error) { return tx.Session(id) })
}

// Events returns at most limit stored events with numbers above after, in order;
// all of them when limit is 0.
func (l *Ledger) Events(ctx context.Context, after int64, limit int) ([]sessions.Event, error) {
	return sessions.View(ctx, l.Store, func(tx sessions.Tx) ([]sessions.Event, error) { return tx.Events(after, limit) })
}

// LastEvent returns the last event, the zero one when there is none.
func LastEvent(tx sessions.Tx) (sessions.Event, error) {
	_, last, err := tx.EventRange()
	if err != nil || last == 0 {
		return sessions.Event{}, err
	}
	events, err := tx.Events(last-1, 1)
	if err != nil || len(events) == 0 {
		return sessions.Event{}, err
	}
	return events[0], nil
}
