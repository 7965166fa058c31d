// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Delete removes a device with its consumed and expired sessions, some at a time. Codes:
// NotFound, Conflict (other sessions, which are named).
func (ds *Devices) Delete(ctx context.Context, id sessions.DeviceID) error {
	if d, ok := ds.visitors.findID(id); ok {
		ds.visitors.forget(d.MAC)
		return nil
	}
	held := ds.enforce.Lock(id)
	defer held.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	for gone := false; !gone; {
		err := ds.ledger.Update(ctx, func(c *ledger.Tx) (err error) {
			gone, err = deleteSome(c, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteSome reports whether the device itself is gone.
func deleteSome(c *ledger.Tx, id sessions.DeviceID) (gone bool, err error) {
	d, err := c.Device(id)
	if err != nil {
		return false, err
	}
	if err := refuseLeft(c, d); err != nil {
		return false, err
	}
	over, err := c.Sessions(sessions.SessionFilter{Device: id, Limit: ledger.BatchSize})
	if err != nil {
		return false, err
	}
	for _, s := range over {
		if err := c.Delete(d, s, sessions.ReasonDeleted); err != nil {
			return false, err
		}
	}
	if len(over) == ledger.BatchSize {
		return false, nil
	}
	if err := c.DeleteDevice(id); err != nil {
		return false, err
	}
	e := c.NewEvent(sessions.DeviceDeleted, d, sessions.Session{})
	e.Reason = sessions.ReasonDeleted
	return true, c.Publish(e)
}

// named is how many of the sessions that are in the way a refusal names.
const named = 5

// refuseLeft names what a device has left, or owes a provider.
func refuseLeft(c *ledger.Tx, d sessions.Device) error {
	left, err := c.Sessions(sessions.SessionFilter{Device: d.ID, States: []sessions.State{sessions.Running, sessions.Available, sessions.Paused}, Limit: named + 1})
	if err != nil {
		return err
	}
	unsaved, err := c.Sessions(sessions.SessionFilter{Device: d.ID, Unsaved: true, States: []sessions.State{sessions.Consumed, sessions.Expired}, Limit: named})
	if err != nil {
		return err
	}
	var names []string
	for _, s := range left {
		names = append(names, fmt.Sprintf("session %d (%s)", s.ID, s.State))
	}
	for _, s := range unsaved {
		names = append(names, fmt.Sprintf("session %d (%s, not yet saved by provider %q)", s.ID, s.State, s.Provider))
	}
	if len(names) == 0 {
		return nil
	}
	if len(names) > named {
		names = append(names[:named], "…")
	}
	return sessions.Errorf(sessions.Conflict, "device %d (%s) has %s: delete them, or move them to another device", d.ID, d.MAC, strings.Join(names, ", "))
}

// Idle returns devices with ids above after that have no session and were not seen since.
func (ds *Devices) Idle(ctx context.Context, since time.Time, after sessions.DeviceID, limit int) ([]sessions.Device, error) {
	filter := sessions.DeviceFilter{Idle: since, After: after, Limit: limit}
	return sessions.Snapshot(ctx, ds.ledger.Store, func(tx sessions.Tx) ([]sessions.Device, error) { return tx.Devices(filter) })
}

// ForgetIdle deletes the rows of idle devices, and returns their ids. One that was seen, or
// bought, meanwhile is left alone.
func (ds *Devices) ForgetIdle(c *ledger.Tx, idle []sessions.Device, since time.Time) (gone []int64, err error) {
	for _, d := range idle {
		now, err := c.Device(d.ID)
		if sessions.CodeOf(err) == sessions.NotFound {
			continue
		}
		if err != nil {
			return gone, err
		}
		bought, err := c.Sessions(sessions.SessionFilter{Device: d.ID, Limit: 1})
		if err != nil {
			return gone, err
		}
		if len(bought) > 0 || !now.LastSeen().Before(since) {
			continue
		}
		if err := c.DeleteDevice(d.ID); err != nil {
			return gone, err
		}
		gone = append(gone, int64(d.ID))
	}
	return gone, nil
}
