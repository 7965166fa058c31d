// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/disk"
)

// wal makes transactions durable that SQLite, with synchronous=NORMAL, only wrote:
// it syncs the WAL, as SQLite does with FULL, but outside the writer's turn and once
// for all that committed meanwhile. All else that needs a sync (a WAL that begins
// anew, a checkpoint) SQLite sees to with NORMAL as well.
type wal struct {
	path string

	mu      sync.Mutex
	over    *sync.Cond // a sync ended
	written uint64     // transactions
	synced  uint64     // of them
	busy    bool       // one caller syncs
	syncing stopwatch
	failed  error // for good: what did not reach the disk once is not tried again by the kernel
}

func newWAL(path string) wal { return wal{path: path} }

// wrote counts a transaction. It is called after the commit.
func (w *wal) wrote() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written++
}

// sync returns when every transaction counted so far is on disk.
func (w *wal) sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over == nil {
		w.over = sync.NewCond(&w.mu)
	}
	for mine := w.written; w.synced < mine && w.failed == nil; {
		if w.busy {
			w.over.Wait()
			continue
		}
		upTo := w.written
		w.busy = true
		w.mu.Unlock()
		w.syncing.start()
		err := syncData(w.path)
		w.syncing.stop()
		w.mu.Lock()
		w.busy, w.failed = false, err
		if err == nil {
			w.synced = upTo
		}
		w.over.Broadcast()
	}
	return w.failed
}

// syncData opens the file each time, for SQLite makes a new one when it has closed
// its last connection. That one has moved everything into the database before.
func syncData(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(disk.SyncData(file), file.Close())
}
