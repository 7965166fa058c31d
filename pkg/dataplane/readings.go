// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Read returns the counters of one account, or ErrNoAccount.
func (d *Dataplane) Read(id Account) (Reading, error) {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	own, ok := d.table.accounts.byID[id]
	if !ok {
		return Reading{}, fmt.Errorf("account %d: %w", id, ErrNoAccount)
	}
	return d.reading(id, own), nil
}

// ReadAll returns the counters of every account.
func (d *Dataplane) ReadAll() ([]Reading, error) {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	list := make([]Reading, 0, len(d.table.accounts.byID))
	for id, own := range d.table.accounts.byID {
		list = append(list, d.reading(id, own))
	}
	return list, nil
}

func (d *Dataplane) reading(id Account, own account) Reading {
	counters, final := d.table.accounts.read(own)
	return Reading{Account: id, Counters: counters, Final: final, Epoch: d.state.epoch}
}

// walk visits every entry of a hash map by batches (kernel >= 5.6): a walk key by
// key starts over when its key is removed under it, and costs two calls an entry.
func walk[K, V any](m *ebpf.Map, flags ebpf.MapLookupFlags, visit func(K, *V)) error {
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
