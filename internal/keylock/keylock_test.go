// SPDX-License-Identifier: Apache-2.0

package keylock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestLockExcludesHoldersOfTheSameKey(t *testing.T) {
	var locks Locks[int]
	var counts [3]int // guarded by the lock of the index
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			key := i % len(counts)
			defer locks.Lock(key)()
			counts[key]++
		})
	}
	wg.Wait()
	if counts != [3]int{100, 100, 100} {
		t.Errorf("counts = %v, want 100 each", counts)
	}
	checkEmpty(t, &locks)
}

func TestKeysAreIndependent(t *testing.T) {
	var locks Locks[string]
	unlock := locks.Lock("a")
	locks.Lock("b")() // would wait for ever
	unlock()
	checkEmpty(t, &locks)
}

func TestWaitersAreServedInOrder(t *testing.T) {
	const waiters = 8
	var locks Locks[int]
	unlock := locks.Lock(1)
	var order []int // guarded by the lock
	var wg sync.WaitGroup
	for i := range waiters {
		wg.Go(func() {
			defer locks.Lock(1)()
			order = append(order, i)
		})
		waitForUsers(t, &locks, 1, i+2)
		time.Sleep(time.Millisecond) // from being counted to being blocked on the channel
	}
	unlock()
	wg.Wait()
	if !slices.IsSorted(order) || len(order) != waiters {
		t.Errorf("served in the order %v", order)
	}
}

func TestLockContextEndsWithItsContext(t *testing.T) {
	var locks Locks[int]
	unlock := locks.Lock(1)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := locks.LockContext(ctx, 1)
		failed <- err
	}()
	waitForUsers(t, &locks, 1, 2)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("LockContext = %v, want %v", err, context.Canceled)
	}
	unlock()
	if _, err := locks.LockContext(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("LockContext of a free key after the end of its context = %v, want %v", err, context.Canceled)
	}
	checkEmpty(t, &locks)
	free, err := locks.LockContext(t.Context(), 1)
	if err != nil {
		t.Fatalf("LockContext of a free key: %v", err)
	}
	free()
	checkEmpty(t, &locks)
}

func TestLockAllDoesNotDeadlock(t *testing.T) {
	var locks Locks[int]
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if i%2 == 0 {
				LockAll(&locks, 1, 2, 3)()
			} else {
				LockAll(&locks, 3, 2, 3, 1)()
			}
		})
	}
	wg.Wait()
	LockAll(&locks)()
	checkEmpty(t, &locks)
}

func TestUnlockTwicePanics(t *testing.T) {
	var locks Locks[int]
	unlock := locks.Lock(1)
	unlock()
	defer func() {
		if recover() == nil {
			t.Error("the second unlock did not panic")
		}
	}()
	unlock()
}

func BenchmarkLock(b *testing.B) {
	var locks Locks[int64]
	for b.Loop() {
		locks.Lock(7)()
	}
}

func waitForUsers[K comparable](t *testing.T, locks *Locks[K], key K, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		locks.mu.Lock()
		got := 0
		if k := locks.locks[key]; k != nil {
			got = k.users
		}
		locks.mu.Unlock()
		if got == want {
			return
		}
	}
	t.Fatalf("key %v does not get %d users", key, want)
}

func checkEmpty[K comparable](t *testing.T, locks *Locks[K]) {
	t.Helper()
	locks.mu.Lock()
	defer locks.mu.Unlock()
	if len(locks.locks) != 0 {
		t.Errorf("%d locks are left", len(locks.locks))
	}
}
