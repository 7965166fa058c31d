// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"strings"
	"time"
)

// MaxClients is the most clients that maps can be made for: sizes stay far below 32 bits.
const MaxClients = 1_000_000

// maxInterfaceName is IFNAMSIZ without the final NUL, linux/if.h.
const maxInterfaceName = 15

// CheckInterfaceName refuses what the kernel does not take as the name of an interface
// (dev_valid_name, net/core/dev.c).
func CheckInterfaceName(name string) error {
	if name == "" || len(name) > maxInterfaceName || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\r\n\v\f") {
		return fmt.Errorf("%q is not the name of an interface: want 1 to %d characters, without blank, : or /, like br-lan", name, maxInterfaceName)
	}
	return nil
}

// EarliestClock is older than this program: a wall clock that shows less was never set.
// The rules and the doctor agree on it.
var EarliestClock = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
