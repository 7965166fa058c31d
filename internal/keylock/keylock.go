// SPDX-License-Identifier: Apache-2.0

// Package keylock provides a mutex per key, for keys that come and go: a lock takes
// memory only while it is held or waited for.
package keylock

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Locks is a set of mutexes, one per key. The zero value is ready for use. Waiters of
// a key get its lock in the order in which they came. Safe for concurrent use; not to
// be copied after first use. A lock is not reentrant.
type Locks[K comparable] struct {
	mu    sync.Mutex
	locks map[K]*lock
}

// lock is held while its channel is full. The runtime serves blocked senders of a
// channel in the order in which they came.
type lock struct {
	held  chan struct{}
	users int // holder and waiters, guarded by Locks.mu
}

// Lock waits for the lock of key and returns what releases it, to be called once.
func (l *Locks[K]) Lock(key K) (unlock func()) {
	k := l.retain(key)
	k.held <- struct{}{}
	return func() { l.unlock(key, k) }
}

// LockContext is Lock with a wait that ends with ctx: then, or when ctx has ended
// before, it returns ctx's error and holds nothing.
func (l *Locks[K]) LockContext(ctx context.Context, key K) (unlock func(), err error) {
	k := l.retain(key)
	select {
	case k.held <- struct{}{}:
	case <-ctx.Done():
		l.release(key, k)
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // select chooses at random when both are ready
		l.unlock(key, k)
		return nil, err
	}
	return func() { l.unlock(key, k) }, nil
}

// LockAll waits for the locks of all keys, the smallest first, so that two callers
// cannot wait for each other, and returns what releases them, to be called once. A key
// that is given twice is locked once.
func LockAll[K cmp.Ordered](l *Locks[K], keys ...K) (unlock func()) {
	if len(keys) == 1 {
		return l.Lock(keys[0])
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(keys)))
	unlocks := make([]func(), 0, len(sorted))
	for _, key := range sorted {
		unlocks = append(unlocks, l.Lock(key))
	}
	return func() {
		for _, unlock := range slices.Backward(unlocks) {
			unlock()
		}
	}
}

func (l *Locks[K]) retain(key K) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks == nil {
		l.locks = make(map[K]*lock)
	}
	k := l.locks[key]
	if k == nil {
		k = &lock{held: make(chan struct{}, 1)}
		l.locks[key] = k
	}
	k.users++
	return k
}

func (l *Locks[K]) release(key K, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.locks, key)
	}
}

func (l *Locks[K]) unlock(key K, k *lock) {
	select {
	case <-k.held:
	default:
		panic("keylock: unlock of an unlocked key")
	}
	l.release(key, k)
}
