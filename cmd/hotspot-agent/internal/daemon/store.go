// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/disk"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// openStore opens the database. A damaged one is set aside and replaced by what can be
// read of it: no operator may be near, and the kiosk has to sell.
func openStore(ctx context.Context, path string, log *slog.Logger) (*sqlite.Store, error) {
	store, err := sqlite.Open(path, log)
	if errors.Is(err, sqlite.ErrDamaged) {
		log.Error("database damaged, salvaging what can be read", "error", err)
		rescued, failed := sqlite.Rescue(ctx, path, time.Now(), log)
		if failed != nil {
			return nil, errors.Join(err, failed)
		}
		log.Error("damaged database replaced", "database", path, "rescued", rescued.String())
		store, err = sqlite.Open(path, log)
	}
	if err == nil {
		log.Info("database is open", "path", path)
	}
	return store, err
}

// watchStore ends the agent when its database turns out to be damaged: the next start
// replaces it, while the kernel serves the connected devices. From all other failures the
// database recovers by itself. It is looked at when due, about once a second.
func watchStore(ctx context.Context, store *sqlite.Store, due <-chan struct{}, log *slog.Logger) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		}
		if err := store.TrimWAL(); err != nil {
			log.Warn("write-ahead log not cut", "error", err)
		}
		switch err := store.Health(ctx); {
		case errors.Is(err, sqlite.ErrDamaged):
			return err
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			log.Error("database write failed, usage is counted in the kernel and settled later", "error", err)
		case err == nil && failing:
			failing = false
			log.Info("database write works again")
		}
	}
}

// The problems of the database and its disk.
const (
	databaseFailing  dataplane.ProblemCode = "database_failing"
	databaseHeld     dataplane.ProblemCode = "wal_held"
	databaseSetAside dataplane.ProblemCode = "database_set_aside"
	diskReadOnly     dataplane.ProblemCode = "disk_read_only"
	diskFull         dataplane.ProblemCode = "disk_full"
)

// storeProblems is what health says of the database and its disk. aside are the damaged
// databases of the start: only a start sets one aside, and only an operator removes it.
func storeProblems(ctx context.Context, store *sqlite.Store, cfg config.Config, aside []string) (problems []dataplane.Problem) {
	if err := store.Health(ctx); err != nil {
		problems = append(problems, dataplane.Problem{Code: databaseFailing, Detail: err.Error()})
	} else if at, err := disk.Read(cfg.StateDir); err == nil {
		switch {
		case at.ReadOnly:
			problems = append(problems, dataplane.Problem{Code: diskReadOnly, Detail: at.Path + " is read-only: no purchase can be stored; check its disk for errors (dmesg)"})
		case at.Free < disk.Full:
			problems = append(problems, dataplane.Problem{Code: diskFull, Detail: fmt.Sprintf("the disk of %s is full: make room, or no purchase can be stored", at.Path)})
		}
	}
	if held := store.HeldWAL(); held != "" {
		problems = append(problems, dataplane.Problem{Code: databaseHeld, Detail: held})
	}
	for _, name := range aside {
		if _, err := os.Lstat(name); err != nil {
			continue
		}
		problems = append(problems, dataplane.Problem{Code: databaseSetAside, Subject: name,
			Detail: fmt.Sprintf("a damaged database was set aside as %s; the event database.rescued says what is kept; remove it when it is no longer needed", name)})
	}
	return problems
}
