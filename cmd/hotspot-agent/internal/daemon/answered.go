// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// answeredBacklog is how many of these events wait for a slow disk: what the kernel sends at
// once. Others are lost.
const answeredBacklog = 256

// publishAnswered makes events of the devices that the kernel leads to the portal.
func (d *Daemon) publishAnswered(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.answered:
			if err := d.manager.Publish(ctx, d.captiveEvent(ctx, e.MAC)); err != nil && ctx.Err() == nil {
				d.log.Error("client.captive not stored", "mac", e.MAC, "error", err)
			}
		}
	}
}

// captiveEvent names the device where there is one: most have not bought yet.
func (d *Daemon) captiveEvent(ctx context.Context, mac dataplane.MAC) sessions.Event {
	event := sessions.Event{Type: sessions.ClientCaptive, MAC: mac.String()}
	if known, err := d.manager.FindDevice(ctx, mac.String()); err == nil {
		event.Device = known.ID
	}
	return event
}
