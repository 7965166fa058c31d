// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/torture/powercut"
)

// TestMain: the machine whose power is cut runs the program that cuts it.
func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		powercut.Guest()
	}
	os.Exit(m.Run())
}
