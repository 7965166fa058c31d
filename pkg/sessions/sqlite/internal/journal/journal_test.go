// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	dir := t.TempDir()
	if got := Of(dir); got != WAL {
		t.Errorf("the journal of %s is %q, want WAL", dir, got)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("the probe left %v, %v", left, err)
	}
	if got := Of(filepath.Join(dir, "missing")); got != WAL {
		t.Errorf("of a folder that is not there: %q", got)
	}
}
