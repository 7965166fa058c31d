// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/checkpoint"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/salvage"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
)

const asidePart = ".damaged-"

// idGap is left between the last id that a damaged database shows and the first new
// one: more than what a kiosk sells, and can no longer be read.
const idGap = 100_000

// Rescued is what Rescue kept of a damaged database.
type Rescued struct {
	Aside             string // the damaged file, with what was beside it
	Devices, Sessions int    // that could be read
	Unread            int    // rows that could not, at most
}

func (r Rescued) String() string {
	return fmt.Sprintf("the damaged database is set aside as %s; %d devices and %d sessions could be read and are kept, up to %d rows could not; "+
		"for more of it: sqlite3 %s .recover, or session import with an export; remove it when it is done with",
		r.Aside, r.Devices, r.Sessions, r.Unread, r.Aside)
}

// Rescue takes a damaged database out of the way, with its WAL and its checkpoint, and puts
// a new one in its place that holds what can still be read. Nothing is deleted. Ids
// stay, for they name the kernel's counters, and none that was ever given is given
// again. After a power cut meanwhile the next [Open] finishes it, or has
// changed nothing. A nil log discards.
func Rescue(ctx context.Context, path string, now time.Time, log *slog.Logger) (Rescued, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	aside, err := freeName(path + asidePart + now.UTC().Format("20060102T150405Z"))
	if err != nil {
		return Rescued{}, err
	}
	r := Rescued{Aside: aside}
	if err := r.build(ctx, path, now, log); err != nil {
		return r, fmt.Errorf("rescue of %s: %w", path, err)
	}
	if err := setAside(path, aside); err != nil {
		return r, fmt.Errorf("set %s aside: %w", path, err)
	}
	if err := os.Rename(path+".rescuing", path+".rescued"); err != nil {
		return r, err
	}
	return r, finishRescue(path)
}

// build makes the new database beside the old one.
func (r *Rescued) build(ctx context.Context, path string, now time.Time, log *slog.Logger) error {
	place := path + ".rescuing"
	for _, part := range append([]string{""}, journal.Files()...) { // of a rescue that was broken off
		if err := disk.Remove(place + part); err != nil {
			return err
		}
	}
	old, err := conn.Open(journal.DSN(path, url.Values{"mode": {"ro"}, "_query_only": {"on"}}))
	if err == nil {
		defer func() { _ = old.Close() }()
	} else if unreadable := (sqlite3.Error{}); !errors.As(err, &unreadable) {
		return err
	}
	store, err := Open(place, log)
	if err != nil {
		return err
	}
	err = store.Update(ctx, func(t sessions.Tx) error { return r.copy(ctx, path, old, t.(*tables.Tx), now, log) })
	return errors.Join(err, store.Close())
}

// copy takes over what can be read: nothing where from is nil.
func (r *Rescued) copy(ctx context.Context, path string, from *conn.Conn, to *tables.Tx, now time.Time, log *slog.Logger) (err error) {
	var kept salvage.Kept
	if from != nil {
		if kept, err = salvage.Copy(ctx, from, to, log); err != nil {
			return err
		}
	}
	if err := keepGeneration(path, to); err != nil {
		return err
	}
	r.Devices, r.Sessions, r.Unread = kept.Devices, kept.Sessions, kept.Unread
	return to.AdvanceSequences(kept.Last, idGap, sessions.Event{Time: now, Type: sessions.DatabaseRescued, Message: r.String()})
}

// keepGeneration has the new database know the generation of the checkpoint beside the old
// one: its counts are those of the sessions that are kept.
func keepGeneration(path string, to *tables.Tx) error {
	_, g, err := checkpoint.Beside(path).Last()
	if err != nil || g == 0 {
		return nil //nolint:nilerr // the agent that reads it next says what is wrong with it
	}
	if _, err = to.LastEventOf(g); sessions.CodeOf(err) == sessions.NotFound {
		return to.BeginGeneration(g)
	}
	return err
}

// setAside gives the files a second name. The checkpoint is copied: it is
// written over in place, and stays in use.
func setAside(path, aside string) error {
	for _, part := range append([]string{""}, journal.Files()...) {
		if err := secondName(os.Link, path+part, aside+part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for i, name := range checkpoint.Names(path) {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(checkpoint.Names(aside)[i], data, 0o600); err != nil {
			return err
		}
	}
	return disk.SyncParent(path)
}

// secondName copies a file where the file system knows no links (vfat, exfat).
func secondName(link func(from, to string) error, from, to string) error {
	err := link(from, to)
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return disk.Copy(from, to)
}

// finishRescue puts the new database in its place, if there is one that is complete:
// the journal of the old one first, which would be applied to it.
func finishRescue(path string) error {
	if _, err := os.Stat(path + ".rescued"); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, part := range journal.Files() {
		if err := disk.Remove(path + part); err != nil {
			return err
		}
	}
	if err := disk.Remove(damageMarker(path)); err != nil {
		return err
	}
	if err := os.Rename(path+".rescued", path); err != nil {
		return err
	}
	return disk.SyncParent(path)
}

// SetAsideFiles returns the damaged databases that were set aside and are still there.
func SetAsideFiles(path string) []string {
	found, err := filepath.Glob(path + asidePart + "*")
	if err != nil {
		return nil // the folder's name looks like a pattern: no reminder then
	}
	return slices.DeleteFunc(found, func(name string) bool {
		return strings.Contains(strings.TrimPrefix(name, path+asidePart), "-") // what was beside it
	})
}

// freeName adds a number to a name that is taken.
func freeName(name string) (string, error) {
	for n := 1; ; n++ {
		free := name
		if n > 1 {
			free = fmt.Sprintf("%s.%d", name, n)
		}
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}
