// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const sector = 512 // what a disk writes as a whole

// A flush takes what it takes a cheap SD card.
const shortestFlush, longestFlush = 5 * time.Millisecond, 60 * time.Millisecond

// medium is a disk with a write cache that a power cut empties: what the guest did not
// flush is there, torn or gone, each write for itself and in any order.
type medium struct {
	mu      sync.Mutex
	random  *rand.Rand
	stable  []byte  // survives
	current []byte  // as the guest reads it
	cache   []write // what a cut may take
	gone    int     // writes that have left the cache
}

type write struct {
	at   int64
	data []byte
	sure bool // forced to the medium (FUA)
}

func newMedium(image []byte, random *rand.Rand) *medium {
	return &medium{random: random, stable: image, current: slices.Clone(image)}
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

// flush begins to make what was written up to now stable, which takes some time; done
// does it. A flush that is not done when the power is cut has saved nothing for sure.
func (d *medium) flush() (takes time.Duration, done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.gone + len(d.cache)
	takes = shortestFlush + time.Duration(d.random.Int64N(int64(longestFlush-shortestFlush)))
	return takes, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for ; d.gone < last; d.gone++ {
			copy(d.stable[d.cache[0].at:], d.cache[0].data)
			d.cache = d.cache[1:]
		}
	}
}

// awaitWrite waits until a cut may take something.
func (d *medium) awaitWrite(ctx context.Context) {
	const look = time.Millisecond
	for ; ctx.Err() == nil; time.Sleep(look) {
		d.mu.Lock()
		waiting := len(d.cache)
		d.mu.Unlock()
		if waiting > 0 {
			return
		}
	}
}

// cut takes the power away. It returns how many writes had not been flushed, and how
// many of them were lost, whole or in part.
func (d *medium) cut() (unflushed, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.cache {
		if !w.keep(d.stable, d.random) {
			lost++
		}
	}
	unflushed = len(d.cache)
	d.gone, d.cache = d.gone+unflushed, nil
	d.current = slices.Clone(d.stable)
	return unflushed, lost
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
