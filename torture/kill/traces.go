// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// traces is what a daemon has of everything that could be left behind.
type traces struct {
	files       []string // pins, database, socket
	descriptors int
	sockets     int // of its name
	goroutines  int
}

// grown says what there is more of than before.
func (t traces) grown(before traces) (more []string) {
	for _, f := range t.files {
		if !slices.Contains(before.files, f) {
			more = append(more, "left behind: "+f)
		}
	}
	for _, f := range before.files {
		if !slices.Contains(t.files, f) {
			more = append(more, "gone: "+f)
		}
	}
	for _, c := range []struct {
		what      string
		was, isNo int
	}{
		{"descriptors", before.descriptors, t.descriptors},
		{"sockets", before.sockets, t.sockets},
		{"goroutines", before.goroutines, t.goroutines},
	} {
		if c.isNo > c.was {
			more = append(more, fmt.Sprintf("%s: %d, and %d before", c.what, c.isNo, c.was))
		}
	}
	return more
}

// traces reads the traces of the running daemon, after the connections to its socket are
// closed.
func (t *trial) traces() (now traces, err error) {
	err = filepath.WalkDir(t.Agent.Dir(), func(path string, _ fs.DirEntry, err error) error {
		// The two checkpoint files are there from the second checkpoint on.
		if !strings.Contains(path, "-checkpoint") {
			now.files = append(now.files, path)
		}
		return err
	})
	if err != nil {
		return now, err
	}
	t.API.Close()
	proc := fmt.Sprintf("/proc/%d", t.Agent.PID())
	descriptors, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return now, err
	}
	now.descriptors = len(descriptors)
	sockets, err := os.ReadFile(filepath.Join(proc, "net", "unix"))
	if err != nil {
		return now, err
	}
	now.sockets = strings.Count(string(sockets), t.Agent.Socket())
	now.goroutines, err = t.goroutines()
	return now, err
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

// goroutines asks the daemon's metrics.
func (t *trial) goroutines() (int, error) {
	conn, err := t.Kiosk.Router.Dial(context.Background(), "tcp", metricsAddr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	found := goroutines.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("the metrics have no go_goroutines: %.200q", text)
	}
	return strconv.Atoi(string(found[1]))
}

// accounts counts the places in the kernel's map that an account has: their first
// word is its number.
func (t *trial) accounts() (used int, err error) {
	accounts, err := ebpf.LoadPinnedMap(filepath.Join(t.Agent.Dir(), "bpf", "maps", "accounts"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer func() { _ = accounts.Close() }()
	value := make([]byte, accounts.ValueSize())
	for i := range accounts.MaxEntries() {
		if err := accounts.Lookup(i, &value); err != nil {
			return 0, err
		}
		if [8]byte(value) != [8]byte{} {
			used++
		}
	}
	return used, nil
}
