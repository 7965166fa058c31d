// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/disk"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// lookEvery is how often the database is looked after.
const lookEvery = 2 * time.Second

// openStore opens the database. A damaged one is taken out of the way, with nobody at
// hand who could do it: a kiosk has to go on selling.
func (d *Daemon) openStore(ctx context.Context) (err error) {
	path := d.cfg.Database()
	d.store, err = sqlite.Open(path, d.log)
	if errors.Is(err, sqlite.ErrDamaged) {
		d.log.Error("the database is damaged; what can be read of it is kept", "error", err)
		rescued, failed := sqlite.Rescue(ctx, path, time.Now(), d.log)
		if failed != nil {
			return errors.Join(err, failed)
		}
		d.log.Error("a damaged database was replaced", "database", path, "rescued", rescued.String())
		d.store, err = sqlite.Open(path, d.log)
	}
	if err == nil {
		d.log.Info("database is open", "path", path)
	}
	return err
}

// watchStore ends the agent when its database turns out to be damaged: the next start
// replaces it, while the kernel goes on with those who are connected. From all other
// trouble the database recovers by itself.
func (d *Daemon) watchStore(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	told := false
	_ = every(ctx, lookEvery, func() {
		switch err := d.store.Trouble(ctx); {
		case errors.Is(err, sqlite.ErrDamaged):
			stop(err)
		case err != nil && ctx.Err() == nil && !told:
			told = true
			d.log.Error("the database cannot be written; what is used is counted on and settled later", "error", err)
		case err == nil && told:
			told = false
			d.log.Info("the database can be written again")
		}
	})
	if cause := context.Cause(ctx); errors.Is(cause, sqlite.ErrDamaged) {
		return cause
	}
	return nil
}

// storeProblems is what health says of the database and its disk.
func (d *Daemon) storeProblems(ctx context.Context) (problems []string) {
	if err := d.store.Trouble(ctx); err != nil {
		problems = append(problems, err.Error())
	} else if at, err := disk.Look(d.cfg.StateDir); err == nil {
		switch {
		case at.ReadOnly:
			problems = append(problems, at.Path+" is read-only: no purchase can be stored; look for errors of its disk (dmesg)")
		case at.Free < disk.Full:
			problems = append(problems, fmt.Sprintf("the disk of %s is full: make room, or no purchase can be stored", at.Path))
		}
	}
	for _, aside := range sqlite.Aside(d.cfg.Database()) {
		problems = append(problems, fmt.Sprintf("a damaged database was set aside as %s; the event database.rescued says what is kept; remove it when it is done with", aside))
	}
	return problems
}
