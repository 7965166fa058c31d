// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// newDevices is the key that is held while a MAC gets its first device, or while
// a MAC is known to have none.
const newDevices sessions.DeviceID = 0

// deviceLocks holds one mutex per device in use. What holds a device's lock is
// the only one to change its rule in the kernel. Providers are never called under
// a lock.
type deviceLocks struct {
	mu   sync.Mutex
	held map[sessions.DeviceID]*deviceLock
}

type deviceLock struct {
	sync.Mutex
	users int
}

// lock takes the locks of all ids, smallest first so that two callers cannot wait
// for each other, and returns what releases them.
func (l *deviceLocks) lock(ids ...sessions.DeviceID) (unlock func()) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, id := range ids {
		l.enter(id).Lock()
	}
	return func() {
		for _, id := range ids {
			l.leave(id)
		}
	}
}

func (l *deviceLocks) enter(id sessions.DeviceID) *deviceLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(map[sessions.DeviceID]*deviceLock)
	}
	lock := l.held[id]
	if lock == nil {
		lock = &deviceLock{}
		l.held[id] = lock
	}
	lock.users++
	return lock
}

func (l *deviceLocks) leave(id sessions.DeviceID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lock := l.held[id]
	lock.Unlock()
	if lock.users--; lock.users == 0 {
		delete(l.held, id)
	}
}
