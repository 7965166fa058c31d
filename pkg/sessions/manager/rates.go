// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// rateWindow is the least time over which a rate is taken: between two looks at an
// account, by somebody's request or by a checkpoint.
const rateWindow = 500 * time.Millisecond

// look is the last look at an account, and the speeds then, in bit/s.
type look struct {
	at       dataplane.Boottime // 0: none yet
	up, down uint64             // bytes; they start at 0 when the kernel's counters are made anew
	upBPS    float32
	downBPS  float32
}

// observe notes a reading and returns the current speeds. A look that is older than
// memory says nothing of now.
func (l *look) observe(r *dataplane.Reading, now dataplane.Boottime, memory time.Duration) (up, down uint64) {
	passed := now.Sub(l.at)
	if l.at == 0 || passed >= rateWindow {
		next := look{at: now, up: r.Counters.UpBytes, down: r.Counters.DownBytes}
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

// rateTable has the looks at trusted devices; those at sessions are in the liveTable.
type rateTable struct {
	memory time.Duration

	mu    sync.Mutex
	looks map[dataplane.Account]*look
}

func (t *rateTable) observe(r dataplane.Reading, now dataplane.Boottime) (up, down uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looks == nil {
		t.looks = make(map[dataplane.Account]*look)
	}
	l := t.looks[r.Account]
	if l == nil {
		l = &look{}
		t.looks[r.Account] = l
	}
	return l.observe(&r, now, t.memory)
}

// observe notes a reading of a running session, if it is one.
func (l *liveTable) observe(r dataplane.Reading, now dataplane.Boottime, memory time.Duration) (up, down uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[sessions.SessionID(r.Account)]; e != nil {
		return e.look.observe(&r, now, memory)
	}
	return 0, 0
}
