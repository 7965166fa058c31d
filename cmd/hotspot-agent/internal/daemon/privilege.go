// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"log/slog"
	"slices"

	"golang.org/x/sys/unix"
	libcap "kernel.org/pub/linux/libs/security/libcap/cap"
)

// kept are the capabilities that a started agent needs, and what for.
var kept = []libcap.Value{
	libcap.BPF,          // maps, programs and links: where unprivileged BPF is off, the default, each needs it
	libcap.NET_ADMIN,    // attaching to an interface that comes (back)
	libcap.PERFMON,      // loading the programs for it
	libcap.DAC_OVERRIDE, // sockets of session providers, which run as users of their own
}

// DropPrivileges leaves all threads of the process with the kept capabilities, for good.
// What only the start needs is dropped here: mounting a bpffs (CAP_SYS_ADMIN), giving the
// socket to its group (CAP_CHOWN). A capability that the process did not have it does not
// get.
func DropPrivileges(log *slog.Logger) error {
	// All that follows is for all threads: one left out could regain them.
	if _, err := libcap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", err)
	}
	have := libcap.GetProc()
	keep := keptOf(have)
	if err := dropBounds(have, keep); err != nil {
		return err
	}
	rest := libcap.NewSet()
	for _, value := range keep {
		if err := rest.SetFlag(libcap.Permitted, true, value); err != nil {
			return err
		}
		if err := rest.SetFlag(libcap.Effective, true, value); err != nil {
			return err
		}
	}
	if err := rest.SetProc(); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	log.Info("dropped privileges that only the start needed", "kept", rest.String())
	return nil
}

// keptOf is what is kept of what the process has. Where it loaded the programs by
// CAP_SYS_ADMIN, for want of CAP_BPF or CAP_PERFMON, it will need that again.
func keptOf(have *libcap.Set) []libcap.Value {
	keep := kept
	if !holds(have, libcap.BPF) || !holds(have, libcap.PERFMON) {
		keep = append(slices.Clone(kept), libcap.SYS_ADMIN)
	}
	return slices.DeleteFunc(slices.Clone(keep), func(v libcap.Value) bool { return !holds(have, v) })
}

// dropBounds narrows the bounding set, for programs that the process may execute. It
// takes CAP_SETPCAP; a service manager that withholds it has set bounds already.
func dropBounds(have *libcap.Set, keep []libcap.Value) error {
	if !holds(have, libcap.SETPCAP) {
		return nil
	}
	for value := range libcap.MaxBits() {
		if slices.Contains(keep, value) {
			continue
		}
		if err := libcap.DropBound(value); err != nil {
			return fmt.Errorf("dropping %s: %w", value, err)
		}
	}
	return nil
}

func holds(set *libcap.Set, value libcap.Value) bool {
	on, err := set.GetFlag(libcap.Permitted, value)
	return err == nil && on
}
