// SPDX-License-Identifier: Apache-2.0

package running

import (
	"testing"
	"unsafe"
)

// TestEntrySize: there may be 100,000 entries.
func TestEntrySize(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are those of a 64-bit machine")
	}
	if size := unsafe.Sizeof(Entry{}); size > 208 {
		t.Errorf("an entry takes %d bytes, want at most 208", size)
	}
}
