// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// TestShort tries each fault a few times, on an agent with the race detector. What it
// tried can be tried again: TORTURE_SEED.
func TestShort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("labs need root")
	}
	agent := filepath.Join(t.TempDir(), "hotspot-agent")
	build := exec.Command("go", "build", "-race", "-o", agent, "./cmd/hotspot-agent")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	// Programs with the race detector sleep for a second at their end otherwise.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	seed := rand.Uint64()
	if text := os.Getenv("TORTURE_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("TORTURE_SEED=%q: %v", text, err)
		}
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			rows, err := f.run(t.Context(), report.Options{Scale: report.Short, Agent: agent, Seed: seed, Say: t.Logf})
			if err != nil {
				t.Error(err)
			}
			if len(rows) == 0 {
				t.Error("nothing was tried")
			}
			for _, r := range rows {
				t.Logf("%+v", r)
				for _, why := range r.Broken() {
					t.Errorf("%s: %s (TORTURE_SEED=%d)", r.Fault, why, seed)
				}
			}
		})
	}
}
