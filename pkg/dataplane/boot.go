// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// BootNow reads CLOCK_BOOTTIME, the clock of deadlines.
func BootNow() Boottime {
	var ts unix.Timespec
	// The clock exists on every supported kernel and the pointer is valid: no
	// error is possible.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return Boottime(ts.Nano())
}

// BootID identifies this boot of the machine: a Boottime of another boot means
// nothing in this one.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
