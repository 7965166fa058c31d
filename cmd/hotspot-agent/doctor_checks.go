// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// checkTimeout bounds each check that waits for something.
const checkTimeout = 10 * time.Second

// checkDatabase reads the whole file and asks whether the daemon would take it. It is
// opened for reading only, so that none is made or migrated and no agent disturbed.
func checkDatabase(ctx context.Context, path string) finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	f := finding{Check: "database", Result: resultOK}
	version, err := sqlite.Check(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Detail = path + " is not there yet; the first start makes it"
	case errors.Is(err, fs.ErrPermission):
		f.Result, f.Detail, f.Advice = resultFail, err.Error(), "run doctor as root"
	case err != nil:
		f.Result, f.Detail = resultFail, err.Error()
		f.Advice = "stop the agent, move the file away and restore a backup"
	default:
		f.Detail = fmt.Sprintf("%s is sound, schema version %d%s", path, version, sizeOf(path))
	}
	return f
}

// sizeOf is for people; a file that went away has none.
func sizeOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return ", " + units.FormatBytes(uint64(info.Size()))
}

// lowDisk is less than what a busy kiosk's database and its WAL grow to.
const lowDisk = 16 << 20

// checkDisk looks at the folder, or the nearest one above it that exists.
func checkDisk(dir string) finding {
	f := finding{Check: "disk", Result: resultOK}
	var s unix.Statfs_t
	at := dir
	err := unix.Statfs(at, &s)
	for errors.Is(err, unix.ENOENT) && at != "/" {
		at = filepath.Dir(at)
		err = unix.Statfs(at, &s)
	}
	if err != nil {
		f.Result, f.Detail = resultWarn, fmt.Sprintf("%s: %v", at, err)
		return f
	}
	free := s.Bavail * uint64(s.Bsize)
	f.Detail = fmt.Sprintf("%s has %s free", at, units.FormatBytes(free))
	switch {
	case s.Flags&unix.ST_RDONLY != 0:
		f.Result, f.Detail = resultFail, at+" is read-only"
		f.Advice = "put state_dir on a disk that can be written"
	case free < lowDisk:
		f.Result, f.Advice = resultWarn, "make room: without it no purchase can be stored"
	case s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC:
		f.Result, f.Detail = resultWarn, at+" is in memory"
		f.Advice = "put state_dir on a disk: a power cut loses every purchase"
	}
	return f
}

// diagnoseAgent asks the agent how it is; one that does not run is no failure.
func diagnoseAgent(ctx context.Context, socket string) []finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	status, err := api.NewClient(socket).Status(ctx)
	if err != nil {
		return []finding{noAgent(socket, err)}
	}
	f := finding{
		Check: "agent", Result: resultOK,
		Detail: fmt.Sprintf("version %s answers on %s, %d connected", status.Version, socket, status.Counts.Connected),
	}
	if !status.Health.OK {
		f.Result, f.Detail = resultFail, "says: "+strings.Join(status.Health.Problems, "; ")
		f.Advice = "mend that; the agent's log says more"
	}
	return []finding{f}
}

func noAgent(socket string, err error) finding {
	f := finding{Check: "agent", Result: resultFail, Detail: err.Error(), Advice: "look at the agent's log; restart it"}
	_, missing := os.Lstat(socket)
	switch {
	case sessions.CodeOf(err) == sessions.Forbidden:
		f.Result, f.Advice = resultWarn, "run doctor as root"
	case errors.Is(missing, fs.ErrNotExist):
		f.Result, f.Detail = resultWarn, "does not run: there is no socket "+socket
		f.Advice = "start it: systemctl start hotspot-agent, or hotspot-agent run"
	case sessions.CodeOf(err) == sessions.Unavailable:
		f.Result, f.Advice = resultWarn, "start it: systemctl start hotspot-agent, or hotspot-agent run"
	}
	return f
}
