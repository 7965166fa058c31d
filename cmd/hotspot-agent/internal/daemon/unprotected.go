// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// publishUnprotected makes events of the times for which an interface was unprotected.
func (d *Daemon) publishUnprotected(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.plane.Unprotected():
			if err := d.manager.Publish(ctx, unprotectedEvent(e)); err != nil && ctx.Err() == nil {
				d.log.Error("interface event not stored", "interface", e.Interface, "error", err)
			}
		}
	}
}

func unprotectedEvent(e dataplane.Unprotected) sessions.Event {
	if e.Over {
		return sessions.Event{Type: sessions.InterfaceProtected, Interface: e.Interface, DurationMS: milliseconds(e.Lasted)}
	}
	return sessions.Event{Type: sessions.InterfaceUnprotected, Interface: e.Interface, Message: e.Cause}
}

// milliseconds rounds up: what lasted at all lasted at least one.
func milliseconds(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }
