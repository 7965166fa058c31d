// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/background"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/devices"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

const (
	// forgetSome is how many rows one transaction of the retention deletes: a customer's
	// connect waits behind it for some milliseconds.
	forgetSome = 64
	// forgetPause is between two of them.
	forgetPause = 20 * time.Millisecond
)

// Forget deletes what the configuration does not keep: devices without sessions that were
// not seen for long, and sessions that were over long ago. It takes a few rows at a time and
// lets others pass in between. While the wall clock is not trusted it forgets nothing.
func (m *Manager) Forget(ctx context.Context) error {
	now := m.clock.Read()
	if !now.WallTrusted {
		return nil
	}
	r := retention{m.ledger, m.devices}
	if keep := m.cfg.KeepSessions; keep > 0 {
		if err := r.forgetSessions(ctx, now.Wall.Add(-keep)); err != nil {
			return err
		}
	}
	if keep := m.cfg.ForgetDevices; keep > 0 {
		return r.forgetDevices(ctx, now.Wall.Add(-keep))
	}
	return nil
}

// retention deletes what is older than a time.
type retention struct {
	ledger  *ledger.Ledger
	devices *devices.Devices
}

func (r retention) forgetSessions(ctx context.Context, before time.Time) error {
	for {
		n, err := r.forgetSomeSessions(ctx, before)
		if err != nil || n < forgetSome {
			return err
		}
		if err := background.Sleep(ctx, forgetPause); err != nil {
			return err
		}
	}
}

func (r retention) forgetSomeSessions(ctx context.Context, before time.Time) (n int, err error) {
	old, err := sessions.View(ctx, r.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) {
		return tx.EndedBefore(before, forgetSome)
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = r.ledger.Commit(ctx, func(c *ledger.Tx) error {
		var gone []int64
		for _, was := range old {
			s, err := c.Session(was.ID)
			if sessions.CodeOf(err) == sessions.NotFound || err == nil && s.Ended != was.Ended {
				continue // deleted, or topped up meanwhile
			}
			if err == nil {
				err = c.DeleteSession(s.ID)
			}
			if err != nil {
				return err
			}
			gone = append(gone, int64(s.ID))
		}
		return publishForgotten(c, sessions.SessionDeleted, "sessions that were over before", before, gone)
	})
	return len(old), err
}

func (r retention) forgetDevices(ctx context.Context, before time.Time) error {
	for after := sessions.DeviceID(0); ; {
		idle, err := r.devices.Idle(ctx, before, after, forgetSome)
		if err != nil || len(idle) == 0 {
			return err
		}
		err = r.ledger.Commit(ctx, func(c *ledger.Tx) error {
			gone, err := r.devices.ForgetIdle(c, idle, before)
			if err != nil {
				return err
			}
			return publishForgotten(c, sessions.DeviceDeleted, "devices that have bought nothing and were not seen since", before, gone)
		})
		if err != nil {
			return err
		}
		after = idle[len(idle)-1].ID
		if err := background.Sleep(ctx, forgetPause); err != nil {
			return err
		}
	}
}

// publishForgotten publishes one event for all: of a database with years of history, an event
// for each would push out all others.
func publishForgotten(c *ledger.Tx, kind sessions.EventType, what string, before time.Time, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	return c.Publish(sessions.Event{Type: kind, Reason: sessions.ReasonForgotten,
		Message: fmt.Sprintf("%d %s %s: %s", len(ids), what, before.UTC().Format(time.RFC3339), ranges(ids))})
}

// ranges writes numbers as in "3, 7-9".
func ranges(ids []int64) string {
	var parts []string
	for i := 0; i < len(ids); {
		end := i
		for end+1 < len(ids) && ids[end+1] == ids[end]+1 {
			end++
		}
		if end == i {
			parts = append(parts, fmt.Sprint(ids[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", ids[i], ids[end]))
		}
		i = end + 1
	}
	return strings.Join(parts, ", ")
}
