// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// BootNow reads CLOCK_BOOTTIME, the clock of deadlines.
func BootNow() dataplane.Boottime { return kernel.BootNow() }

// BootID identifies this boot of the machine: a Boottime of another boot means
// nothing in this one.
func BootID() (string, error) { return kernel.BootID() }
