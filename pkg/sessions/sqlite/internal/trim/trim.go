// SPDX-License-Identifier: Apache-2.0

// Package trim keeps the write-ahead log of a database from staying large.
package trim

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/journal"
)

const (
	// Usual is the size in bytes at which SQLite moves the WAL into the database (1,000 pages),
	// and to which a larger one is cut when it begins anew.
	Usual = 4 << 20
	// Large is a size in bytes that only a WAL grows to that could not begin anew.
	Large = 2 * Usual
	// heldLong is how long a large WAL may be in use before that is a problem.
	heldLong = 30 * time.Second
)

// heldWAL remembers since when a large WAL is in use by a reader. Safe for concurrent use.
type heldWAL struct {
	mu    sync.Mutex
	since time.Time // zero: it is not
	size  int64
}

func (h *heldWAL) note(now time.Time, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		h.since = now
	}
	h.size = size
}

func (h *heldWAL) over() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = time.Time{}
}

func (h *heldWAL) get() (since time.Time, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.size
}

// Trimmer cuts the WAL of one database. Safe for concurrent use.
type Trimmer struct {
	path string
	log  *slog.Logger
	held heldWAL
}

// New returns a Trimmer of a database.
func New(path string, log *slog.Logger) *Trimmer { return &Trimmer{path: path, log: log} }

// Trim moves a large WAL into the database and cuts it. A WAL begins anew by itself once
// nothing reads from it; one that a reader held back grows meanwhile, and is as large
// as ever afterwards, until it is cut. Writers wait only for the cut. Without a large WAL
// it is one stat(2).
func (t *Trimmer) Trim() error {
	info, err := os.Stat(t.path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= Large {
		t.held.over()
		return nil
	}
	if err != nil {
		return err
	}
	cut, err := t.trim()
	if err != nil {
		return err
	}
	if cut {
		t.held.over()
		t.log.Info("write-ahead log cut", "bytes_before", info.Size())
		return nil
	}
	t.held.note(time.Now(), info.Size())
	return nil
}

// trim reports whether it succeeded. Its connection is its own, and does not wait for
// readers: SQLite would keep writers out meanwhile.
func (t *Trimmer) trim() (cut bool, err error) {
	c, err := conn.Open(journal.DSN(t.path, url.Values{"_busy_timeout": {"0"}}))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	// All that no reader needs goes to the database beside the writers; what is left
	// to do under their lock is little.
	whole, err := checkpointWAL(c, "PASSIVE")
	if err != nil || !whole {
		return false, err
	}
	return checkpointWAL(c, "TRUNCATE")
}

// checkpointWAL reports whether the whole WAL is in the database.
func checkpointWAL(c *conn.Conn, mode string) (whole bool, err error) {
	err = c.Query("PRAGMA wal_checkpoint("+mode+")", func(row *conn.Row) error {
		var busy, pages, moved int64
		err := row.Scan(&busy, &pages, &moved)
		whole = busy == 0 && pages == moved
		return err
	})
	return whole, err
}

// Held says which processes keep a large write-ahead log from being cut, and since when;
// "" while none does for long.
func (t *Trimmer) Held() string {
	since, size := t.held.get()
	if since.IsZero() || time.Since(since) < heldLong {
		return ""
	}
	return fmt.Sprintf("%s is read since %s without a break, so that its write-ahead log grows (%d MB now); end what reads it: %s",
		t.path, since.UTC().Format(time.RFC3339), size>>20, strings.Join(readersOf(t.path), ", "))
}

// readersOf names the other processes that hold locks on the index of the WAL, as
// /proc/locks has them. (The file itself is not opened: to close it would drop this process's own
// locks, see fcntl(2).)
func readersOf(path string) []string {
	unknown := []string{"a process that /proc/locks does not show"}
	var index unix.Stat_t
	if err := unix.Stat(path+"-shm", &index); err != nil {
		return unknown
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer func() { _ = locks.Close() }()
	var found []string
	inode := strconv.FormatUint(index.Ino, 10)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: POSIX  ADVISORY  READ 4711 fe:01:131 124 124, as in proc_locks(5)
		words := strings.Fields(lines.Text())
		if len(words) < 6 || words[5][strings.LastIndexByte(words[5], ':')+1:] != inode {
			continue
		}
		if pid, err := strconv.Atoi(words[4]); err == nil && pid > 0 && pid != os.Getpid() {
			found = append(found, fmt.Sprintf("process %d (%s)", pid, commandOf(pid)))
		}
	}
	slices.Sort(found)
	if found = slices.Compact(found); len(found) == 0 {
		return unknown
	}
	return found
}

func commandOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "gone"
	}
	return strings.TrimSpace(string(name))
}
