// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// notify tells the service manager, where there is one (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("telling the service manager failed", "error", err)
	}
}

// watchdog gives a sign of life twice in the time the service manager allows, as
// long as the rules and the database answer.
func (d *Daemon) watchdog(ctx context.Context) error {
	allowed, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("the service manager's watchdog: %w", err)
	}
	if allowed <= 0 {
		return nil
	}
	return every(ctx, allowed/2, func() {
		if d.alive(ctx) {
			notify(d.log, "WATCHDOG=1")
		}
	})
}

func (d *Daemon) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if _, err := d.manager.Summary(ctx); err != nil {
		d.log.Error("the watchdog is not fed: the database does not answer", "error", err)
		return false
	}
	return true
}

// eventAttrs are the parts of an event that it has.
func eventAttrs(e sessions.Event) []any {
	attrs := []any{"type", string(e.Type), "seq", e.Seq}
	if e.Device != 0 {
		attrs = append(attrs, "device", int64(e.Device))
	}
	for _, part := range []struct{ name, value string }{{"mac", e.MAC}, {"interface", e.Interface}, {"reason", e.Reason}, {"message", e.Message}} {
		if part.value != "" {
			attrs = append(attrs, part.name, part.value)
		}
	}
	if e.DurationMS != 0 {
		attrs = append(attrs, "duration_ms", e.DurationMS)
	}
	if e.Session != 0 {
		attrs = append(attrs, "session", int64(e.Session))
	}
	return attrs
}
