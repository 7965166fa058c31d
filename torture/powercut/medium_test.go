// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func filled(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

func newTestMedium(seed uint64) *medium {
	return newMedium(filled('-', 16*sector), rand.New(rand.NewPCG(seed, 1)))
}

// What was flushed or forced survives every cut; of the rest each sector is either
// what was written or what was there before.
func TestCut(t *testing.T) {
	seen := make(map[byte]int)
	for seed := range uint64(200) {
		d := newTestMedium(seed)
		d.write(0, filled('f', 4*sector), false)
		_, done := d.flush()
		d.write(4*sector, filled('s', 4*sector), true)
		d.write(8*sector, filled('w', 8*sector), false) // during the flush
		done()
		now := make([]byte, 16*sector)
		if d.read(0, now); now[15*sector] != 'w' {
			t.Fatal("the guest does not read what it wrote")
		}
		if unflushed, _ := d.cut(); unflushed != 2 {
			t.Fatalf("%d writes were not flushed, want 2", unflushed)
		}
		d.read(0, now)
		if !bytes.Equal(now[:4*sector], filled('f', 4*sector)) || !bytes.Equal(now[4*sector:8*sector], filled('s', 4*sector)) {
			t.Fatal("what was flushed or forced is lost")
		}
		for from := 8 * sector; from < len(now); from += sector {
			got := now[from : from+sector]
			if !bytes.Equal(got, filled(got[0], sector)) {
				t.Fatal("half a sector was written")
			}
			seen[got[0]]++
		}
	}
	if len(seen) != 2 || seen['-'] < 300 || seen['w'] < 300 {
		t.Errorf("sectors after the cuts: %v", seen)
	}
}

// A cut during a flush finds all of it unflushed, and its end says
// nothing to the disk that came up again.
func TestCutDuringFlush(t *testing.T) {
	lost := 0
	for seed := range uint64(100) {
		d := newTestMedium(seed)
		d.write(0, filled('1', sector), false)
		takes, done := d.flush()
		if takes < shortestFlush || takes > longestFlush {
			t.Fatalf("a flush takes %v", takes)
		}
		unflushed, n := d.cut()
		if unflushed != 1 {
			t.Fatalf("%d writes were not flushed, want 1", unflushed)
		}
		lost += n
		d.write(sector, filled('2', sector), false)
		done()
		if unflushed, _ := d.cut(); unflushed != 1 {
			t.Fatal("a flush of before the cut has flushed what was written afterwards")
		}
	}
	if lost < 10 || lost > 90 {
		t.Errorf("%d of 100 writes lost", lost)
	}
}
