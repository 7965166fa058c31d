// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestOverwriteOnEveryDisk: a file system that cannot write past its page cache, or a
// disk of larger sectors, has the same content; what is behind that is not read.
func TestOverwriteOnEveryDisk(t *testing.T) {
	dirs := map[string]string{"disk": t.TempDir()}
	if memory, err := os.MkdirTemp("/dev/shm", ""); err == nil { //nolint:usetesting // t.TempDir is on the disk
		t.Cleanup(func() { _ = os.RemoveAll(memory) })
		dirs["tmpfs"] = memory
	}
	for name, dir := range dirs {
		var buffer []byte
		for _, length := range []int{1, sector, sector + 1, 3 * block, 100, block - 1} {
			want := bytes.Repeat([]byte{byte(length)}, length)
			buffer = padded(append(buffer[:0], want...))
			if len(buffer)%block != 0 || offset(buffer) != 0 {
				t.Fatalf("%d bytes at offset %d of a block of memory", len(buffer), offset(buffer))
			}
			path := filepath.Join(dir, "file")
			if err := overwrite(path, buffer, length); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := os.ReadFile(path)
			if err != nil || len(got) < length || !bytes.Equal(got[:length], want) {
				t.Errorf("%s: %d bytes of %d, %v", name, len(got), length, err)
			}
		}
	}
}

// TestPaddedKeepsItsMemory: the next checkpoint of the same size allocates nothing.
func TestPaddedKeepsItsMemory(t *testing.T) {
	buffer := padded(make([]byte, 3*block-7))
	if n := testing.AllocsPerRun(10, func() { buffer = padded(buffer[:2*block+1]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tail := buffer[2*block+1:]; !bytes.Equal(tail, make([]byte, len(tail))) {
		t.Error("padded with what was there before")
	}
}
