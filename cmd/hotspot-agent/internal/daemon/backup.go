// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// Backup copies the database to a new file, whether an agent runs or not.
func Backup(ctx context.Context, cfg config.Config, to string) error {
	return sqlite.Backup(ctx, cfg.Database(), to)
}

// Restore puts a backup in the place of the database while no agent runs: an *[InUseError]
// when one does.
func Restore(ctx context.Context, cfg config.Config, from string) (done sqlite.Restored, err error) {
	state, err := lockState(cfg.StateDir)
	if err != nil {
		return done, err
	}
	defer func() { _ = state.release() }()
	return sqlite.Restore(ctx, cfg.Database(), from, time.Now())
}
