// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// publishUnprotected makes events of the times for which an interface was unprotected.
func (d *Daemon) publishUnprotected(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.plane.Unprotected():
			if err := d.publish(ctx, e); err != nil && ctx.Err() == nil {
				d.log.Error("interface event not stored", "interface", e.Interface, "error", err)
			}
		}
	}
}

func (d *Daemon) publish(ctx context.Context, e dataplane.Unprotected) error {
	if e.Over {
		return d.manager.Protected(ctx, e.Interface, e.Lasted)
	}
	return d.manager.Unprotected(ctx, e.Interface)
}
