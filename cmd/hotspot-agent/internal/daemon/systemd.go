// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// watchdogTimeout bounds the check before each watchdog message.
const watchdogTimeout = 5 * time.Second

// notify sends a state to the service manager, where there is one (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("sd_notify failed", "state", state, "error", err)
	}
}

// feedWatchdog sends WATCHDOG=1 twice in the time the service manager allows, as long
// as check succeeds, until ctx ends.
func feedWatchdog(ctx context.Context, log *slog.Logger, check func(context.Context) error) error {
	allowed, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("the service manager's watchdog: %w", err)
	}
	if allowed <= 0 {
		return nil
	}
	return every(ctx, allowed/2, func() {
		within, cancel := context.WithTimeout(ctx, watchdogTimeout)
		defer cancel()
		if err := check(within); err != nil {
			log.Error("database does not answer, watchdog not fed", "error", err)
			return
		}
		notify(log, "WATCHDOG=1")
	})
}
