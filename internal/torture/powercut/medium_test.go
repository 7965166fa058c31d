// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func filled(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// What was flushed or forced survives every cut; of the rest each sector is either
// what was written or what was there before.
func TestCut(t *testing.T) {
	seen := make(map[byte]int)
	for seed := range uint64(200) {
		d := newMedium(filled('-', 16*sector))
		d.write(0, filled('f', 4*sector), false)
		d.flush()
		d.write(4*sector, filled('s', 4*sector), true)
		d.write(8*sector, filled('w', 8*sector), false)
		now := make([]byte, 16*sector)
		if d.read(0, now); now[15*sector] != 'w' {
			t.Fatal("the guest does not read what it wrote")
		}
		d.cut(rand.New(rand.NewPCG(seed, 1)))
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
