// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// tellExposures makes events of the times for which an interface was unprotected.
func (d *Daemon) tellExposures(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-d.plane.Unprotected():
			if err := d.tellExposure(ctx, e); err != nil && ctx.Err() == nil {
				d.log.Error("an event is not stored", "interface", e.Interface, "error", err)
			}
		}
	}
}

func (d *Daemon) tellExposure(ctx context.Context, e dataplane.Unprotected) error {
	if e.Over {
		return d.manager.Protected(ctx, e.Interface, e.Lasted)
	}
	return d.manager.Unprotected(ctx, e.Interface)
}
