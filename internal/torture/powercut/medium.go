// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"math/rand/v2"
	"slices"
	"sync"
)

const sector = 512 // what a disk writes as a whole

// medium is a disk with a write cache that a power cut empties: what the guest did not
// flush is there, torn or gone, each write for itself and in any order.
type medium struct {
	mu      sync.Mutex
	stable  []byte  // survives
	current []byte  // as the guest reads it
	cache   []write // since the last flush
}

type write struct {
	at   int64
	data []byte
	sure bool // forced to the medium (FUA)
}

func newMedium(image []byte) *medium {
	return &medium{stable: image, current: slices.Clone(image)}
}

func (d *medium) read(at int64, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(b, d.current[at:])
}

func (d *medium) write(at int64, data []byte, sure bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.current[at:], data)
	d.cache = append(d.cache, write{at, data, sure})
}

func (d *medium) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.cache {
		copy(d.stable[w.at:], w.data)
	}
	d.cache = nil
}

// cut takes the power away. It returns how many writes were lost, whole or in part.
func (d *medium) cut(random *rand.Rand) (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.cache {
		if !w.keep(d.stable, random) {
			lost++
		}
	}
	d.cache = nil
	d.current = slices.Clone(d.stable)
	return lost
}

// keep has the medium have all of a write, some of its sectors, or none.
func (w write) keep(stable []byte, random *rand.Rand) (whole bool) {
	chance := []float64{0, 0.5, 1, 1}[random.IntN(4)] // of each sector
	if w.sure {
		chance = 1
	}
	whole = true
	for from := 0; from < len(w.data); from += sector {
		if random.Float64() >= chance {
			whole = false
			continue
		}
		to := min(from+sector, len(w.data))
		copy(stable[w.at+int64(from):], w.data[from:to])
	}
	return whole
}
