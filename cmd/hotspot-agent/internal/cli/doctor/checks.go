// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/disk"
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
	version, err := checkWithin(ctx, path)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.Result, f.Detail = resultFail, fmt.Sprintf("%s cannot be read within %s: its disk is slow, or stalls", path, checkTimeout)
		f.Advice = "check the disk for errors (dmesg), replace it"
	case errors.Is(err, fs.ErrNotExist):
		f.Detail = path + " is not there yet; the first start makes it"
	case errors.Is(err, fs.ErrPermission):
		f.Result, f.Detail, f.Advice = resultFail, err.Error(), "run doctor as root"
	case errors.Is(err, sqlite.ErrDamaged):
		f.Result, f.Detail = resultFail, err.Error()
		f.Advice = "restart the agent: it sets the file aside and continues with what can be read of it"
	case err != nil:
		f.Result, f.Detail = resultFail, err.Error()
		f.Advice = "stop the agent, move the file away and restore a backup"
	default:
		f.Detail = fmt.Sprintf("%s is sound, schema version %d%s", path, version, sizeOf(path))
	}
	return f
}

// checkWithin does not wait for a disk that stalls: no context ends a system call.
func checkWithin(ctx context.Context, path string) (version int, err error) {
	done := make(chan struct{})
	var found int
	var failed error
	go func() {
		defer close(done)
		found, failed = sqlite.Check(ctx, path)
	}()
	select {
	case <-done:
		return found, failed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
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

// checkAside reminds of damaged databases that the agent took out of the way.
func checkAside(path string) []finding {
	var findings []finding
	for _, aside := range sqlite.SetAsideFiles(path) {
		findings = append(findings, finding{
			Check: "database", Result: resultWarn, Detail: "a damaged one was set aside as " + aside + sizeOf(aside),
			Advice: "see the event database.rescued for what is kept; sqlite3 FILE .recover may find more, hotspot-agent session import takes an export; then remove it",
		})
	}
	return findings
}

// checkDisk reads the folder, or the nearest one above it that exists.
func checkDisk(dir string) finding {
	f := finding{Check: "disk", Result: resultOK}
	at, err := disk.Read(dir)
	if err != nil {
		f.Result, f.Detail = resultWarn, fmt.Sprintf("%s: %v", at.Path, err)
		return f
	}
	f.Detail = fmt.Sprintf("%s has %s free", at.Path, units.FormatBytes(at.Free))
	switch {
	case at.ReadOnly:
		f.Result, f.Detail = resultFail, at.Path+" is read-only"
		f.Advice = "put state_dir on a disk that can be written; if it is one, see dmesg"
	case at.Free < disk.Full:
		f.Result, f.Advice = resultFail, "make room: without it no purchase can be stored"
	case at.Free < lowDisk:
		f.Result, f.Advice = resultWarn, "make room: without it no purchase can be stored"
	case at.InMemory:
		f.Result, f.Detail = resultWarn, at.Path+" is in memory"
		f.Advice = "put state_dir on a disk: a power cut loses every purchase"
	}
	return f
}

// diagnoseAgent asks the agent how it is.
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
		f.Result, f.Detail = resultFail, "reports: "+strings.Join(status.Health.Problems, "; ")
		f.Exposed = slices.ContainsFunc(status.Health.Active, func(p api.ActiveProblem) bool { return p.Exposed })
		f.Advice = "do what it says; hotspot-agent events --after 0 has when it began"
	}
	return []finding{f}
}

func noAgent(socket string, err error) finding {
	f := finding{Check: "agent", Result: resultFail, Detail: err.Error(), Advice: "see the agent's log; restart it"}
	_, missing := os.Lstat(socket)
	switch {
	case sessions.CodeOf(err) == sessions.Forbidden:
		f.Result, f.Advice = resultWarn, "run doctor as root"
	case errors.Is(missing, fs.ErrNotExist):
		f.Detail = "does not run: there is no socket " + socket
		f.Advice = "start it: systemctl start hotspot-agent, or hotspot-agent run"
	case sessions.CodeOf(err) == sessions.Unavailable:
		f.Advice = "start it: systemctl start hotspot-agent, or hotspot-agent run"
	}
	return f
}
