// SPDX-License-Identifier: Apache-2.0

// Package kernel reads the kernel's clock, boot id and release, and explains its errors.
package kernel

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// BootNow reads CLOCK_BOOTTIME, the clock of deadlines.
func BootNow() dataplane.Boottime {
	var ts unix.Timespec
	// The clock exists on every supported kernel and the pointer is valid: no
	// error is possible.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return dataplane.Boottime(ts.Nano())
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
