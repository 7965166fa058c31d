// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// rateWindow is the least time over which a rate is taken: between two looks at an
// account, by somebody's request or by a checkpoint.
const rateWindow = 500 * time.Millisecond

// rateTable remembers the last look at each account.
type rateTable struct {
	memory time.Duration // an older look says nothing of now

	mu    sync.Mutex
	looks map[dataplane.Account]look
}

type look struct {
	at       dataplane.Boottime
	epoch    uint64
	up, down uint64 // bytes
	upBPS    uint64
	downBPS  uint64
}

// observeAll notes readings.
func (t *rateTable) observeAll(readings []dataplane.Reading, now dataplane.Boottime) {
	for some := range slices.Chunk(readings, atATime) {
		t.mu.Lock()
		for i := range some {
			t.look(&some[i], now)
		}
		t.mu.Unlock()
	}
}

// observe notes a reading and returns the current speeds in bit/s.
func (t *rateTable) observe(r dataplane.Reading, now dataplane.Boottime) (up, down uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(&r, now)
}

func (t *rateTable) look(r *dataplane.Reading, now dataplane.Boottime) (up, down uint64) {
	if t.looks == nil {
		t.looks = make(map[dataplane.Account]look)
	}
	last, known := t.looks[r.Account]
	passed := now.Sub(last.at)
	if known && passed < rateWindow {
		return last.upBPS, last.downBPS
	}
	next := look{at: now, epoch: r.Epoch, up: r.Counters.UpBytes, down: r.Counters.DownBytes}
	if known && passed <= t.memory && last.epoch == r.Epoch && next.up >= last.up && next.down >= last.down {
		next.upBPS = bitsPerSecond(next.up-last.up, passed)
		next.downBPS = bitsPerSecond(next.down-last.down, passed)
	}
	t.looks[r.Account] = next
	return next.upBPS, next.downBPS
}

func bitsPerSecond(bytes uint64, d time.Duration) uint64 {
	return uint64(float64(bytes) * 8 / d.Seconds())
}

// forget drops the account of a session that stopped.
func (t *rateTable) forget(a dataplane.Account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.looks, a)
}
