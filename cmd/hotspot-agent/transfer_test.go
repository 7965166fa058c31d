// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
)

// What one kiosk exports, another imports: once.
func TestExportAndImport(t *testing.T) {
	from, to := newKiosk(t), newKiosk(t)
	from.sell("--type", "time", "--time", "1h")
	from.sell("--type", "data", "--data", "100MB", "--expires", "30d")
	lines := from.run("session", "export").expect(t, exit.Done, phone.String(), `"time_secs":3600`, `"exp_days":30`).out
	file := filepath.Join(t.TempDir(), "sessions.jsonl")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(lines, "100000000", "-1", 1))
	to.run("session", "import", file).expect(t, exit.Failed, "line 2: data_bytes: -1 is negative")
	write(lines)
	to.run("session", "import", file).expect(t, exit.Done, "2 sessions imported, 0 already there")
	to.run("session", "import", file).expect(t, exit.Done, "0 sessions imported, 2 already there")
	if again := to.run("session", "export", "--all").expect(t, exit.Done).out; again != lines {
		t.Errorf("exported:\n%sand after the import:\n%s", lines, again)
	}
	to.run("session", "import", file+".none").expect(t, exit.Failed, "no such file", "session export")
}
