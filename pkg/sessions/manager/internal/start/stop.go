// SPDX-License-Identifier: Apache-2.0

package start

import (
	"context"
	"errors"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Pause stops the running session of a device, if there is one.
func (st *Starter) Pause(ctx context.Context, id sessions.DeviceID, reason, message string) (sessions.Device, error) {
	held := st.enforce.Lock(id)
	defer held.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Device{}, err
	}
	ctx = context.WithoutCancel(ctx)
	d, a, err := st.connected(ctx, id)
	if err != nil {
		return d, err
	}
	if a == 0 {
		return d, st.cancelPending(ctx, held, id, reason, message)
	}
	return st.pauseRunning(ctx, held, d, a, reason, message)
}

// connected returns the account of what a device runs, 0 for nothing. Of the device, id
// and MAC are known.
func (st *Starter) connected(ctx context.Context, id sessions.DeviceID) (sessions.Device, dataplane.Account, error) {
	if s, running := st.table.Running(id); running {
		return sessions.Device{ID: id, MAC: s.MAC}, s.Account(), nil
	}
	d, s, err := st.ledger.Lookup(ctx, id) // what runs may not be remembered, before the first Reconcile
	if err != nil || s == nil {
		return d, 0, err
	}
	return d, s.Account(), nil
}

// pauseRunning stops the session of a device, and returns the device as it is stored.
func (st *Starter) pauseRunning(ctx context.Context, held enforce.Locked, d sessions.Device, a dataplane.Account, reason, message string) (sessions.Device, error) {
	if err := st.enforce.Revoke(d.MAC); err != nil {
		return d, err
	}
	stop := Stopping(d, sessions.SessionOf(a), st.enforce.LastReading(a), reason, message)
	stored := d
	err := st.ledger.Commit(ctx, func(c *ledger.Tx) error {
		var err error
		if stored, err = c.Device(d.ID); err != nil {
			return err
		}
		return stop(c)
	})
	if err != nil {
		st.enforce.Restore(ctx, held, d.ID)
	}
	return stored, err
}

// cancelPending sees to it that a device on which nothing runs stays that way, if its next
// session is being looked for just now.
func (st *Starter) cancelPending(ctx context.Context, _ enforce.Locked, id sessions.DeviceID, reason, message string) error {
	e, between := st.Pending.Cancel(id)
	if !between {
		return nil
	}
	err := st.ledger.Commit(ctx, func(c *ledger.Tx) error { return publishDisconnected(c, e, reason, message) })
	if err != nil {
		st.Pending.Add(e)
	}
	return err
}

// Stopping settles a running session up to now, stops it and says so.
func Stopping(d sessions.Device, id sessions.SessionID, r *dataplane.Reading, reason, message string) func(*ledger.Tx) error {
	return func(c *ledger.Tx) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		met := sessions.LimitMet(s, r)
		s = sessions.AsOf(s, r, c.Now)
		next, _, over := sessions.NextState(s, sessions.Activity{Closed: met}, c.Now)
		if !over {
			next = sessions.Paused
		}
		if err := c.Stop(d, &s, next, reason); err != nil {
			return err
		}
		return c.Disconnected(d, s, reason, message)
	}
}

// DisconnectAll pauses every running session, many in one transaction.
func (st *Starter) DisconnectAll(ctx context.Context, reason string) error {
	devices, err := st.ledger.RunningDevices(ctx)
	if err != nil {
		return err
	}
	var failed error
	for some := range slices.Chunk(devices, ledger.BatchSize) {
		failed = errors.Join(failed, st.pauseSome(ctx, some, reason))
	}
	return failed
}

func (st *Starter) pauseSome(ctx context.Context, devices []sessions.DeviceID, reason string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	held := st.enforce.Lock(devices...)
	defer held.Unlock()
	var stops []func(*ledger.Tx) error
	var failed error
	for _, id := range devices {
		d, a, err := st.connected(ctx, id)
		if err == nil && a != 0 {
			err = st.enforce.Revoke(d.MAC)
		}
		if err == nil && a != 0 {
			stops = append(stops, Stopping(d, sessions.SessionOf(a), st.enforce.LastReading(a), reason, ""))
		}
		failed = errors.Join(failed, err)
	}
	err := st.ledger.Commit(ctx, func(c *ledger.Tx) error {
		for _, stop := range stops {
			if err := stop(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, id := range devices {
			st.enforce.Restore(ctx, held, id)
		}
	}
	return errors.Join(failed, err)
}
