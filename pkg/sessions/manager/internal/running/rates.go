// SPDX-License-Identifier: Apache-2.0

package running

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// rateWindow is the least time over which a rate is taken: between two samples of an
// account, by a request or by a checkpoint.
const rateWindow = 500 * time.Millisecond

// rate is the last sample of an account, and the speeds then, in bit/s.
type rate struct {
	at       dataplane.Boottime // 0: none yet
	up, down uint64             // bytes; they start at 0 when the kernel's counters are made anew
	upBPS    float32
	downBPS  float32
}

// observe notes a reading and returns the current speeds. A sample older than
// memory says nothing of now.
func (l *rate) observe(r *dataplane.Reading, now dataplane.Boottime, memory time.Duration) (up, down uint64) {
	passed := now.Sub(l.at)
	if l.at == 0 || passed >= rateWindow {
		next := rate{at: now, up: r.Counters.UpBytes, down: r.Counters.DownBytes}
		if l.at != 0 && passed <= memory && next.up >= l.up && next.down >= l.down {
			next.upBPS = bitsPerSecond(next.up-l.up, passed)
			next.downBPS = bitsPerSecond(next.down-l.down, passed)
		}
		*l = next
	}
	return uint64(l.upBPS), uint64(l.downBPS)
}

func bitsPerSecond(bytes uint64, d time.Duration) float32 {
	return float32(float64(bytes) * 8 / d.Seconds())
}

// Rates has the samples of trusted devices; those of sessions are in the Table.
type Rates struct {
	memory time.Duration

	mu        sync.Mutex
	byAccount map[dataplane.Account]*rate
}

// Observe records a reading of a trusted device and returns its speeds in bit/s.
func (t *Rates) Observe(r dataplane.Reading, now dataplane.Boottime) (up, down uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAccount == nil {
		t.byAccount = make(map[dataplane.Account]*rate)
	}
	l := t.byAccount[r.Account]
	if l == nil {
		l = &rate{}
		t.byAccount[r.Account] = l
	}
	return l.observe(&r, now, t.memory)
}

// Rate takes in a reading of a running session or of a trusted device, and returns the
// current speeds, in bit/s.
func (t *Table) Rate(r dataplane.Reading, now dataplane.Boottime) (up, down uint64) {
	if sessions.IsTrusted(r.Account) {
		return t.Trusted.Observe(r, now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byAccount(r.Account); e != nil {
		return e.rate.observe(&r, now, t.cfg.RateMemory)
	}
	return 0, 0
}
