// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Walk visits every entry of a hash map by batches (kernel >= 5.6): a walk key by
// key starts over when its key is removed under it, and costs two calls an entry.
func Walk[K, V any](m *ebpf.Map, flags ebpf.MapLookupFlags, visit func(K, *V)) error {
	size := min(int(m.MaxEntries()), 1024)
	opts := &ebpf.BatchOptions{ElemFlags: uint64(flags)}
	var cursor ebpf.MapBatchCursor
	for {
		keys, values := make([]K, size), make([]V, size)
		n, err := m.BatchLookup(&cursor, keys, values, opts)
		if errors.Is(err, unix.ENOSPC) {
			size *= 2 // one bucket of the hash holds more
			continue
		}
		last := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !last {
			return err
		}
		for i := range n {
			visit(keys[i], &values[i])
		}
		if last {
			return nil
		}
	}
}

// DeleteKey removes a key that may not be there.
func DeleteKey(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// KeysOf returns the keys of a set map.
func KeysOf[K comparable](m *ebpf.Map) map[K]bool {
	have := make(map[K]bool)
	var key K
	var mark uint8
	for it := m.Iterate(); it.Next(&key, &mark); {
		have[key] = true
	}
	return have
}

// SyncSet makes the keys of a set map those of want. New ones come first, so that
// nothing that stays open is shut meanwhile.
func SyncSet[K comparable](m *ebpf.Map, want map[K]bool) error {
	have := KeysOf[K](m)
	for key := range want {
		if have[key] {
			continue
		}
		if err := m.Put(key, uint8(1)); err != nil {
			return fmt.Errorf("%d entries, room for %d: %w", len(want), m.MaxEntries(), err)
		}
	}
	for key := range have {
		if want[key] {
			continue
		}
		if err := DeleteKey(m, key); err != nil {
			return err
		}
	}
	return nil
}
