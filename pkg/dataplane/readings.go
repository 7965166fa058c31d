// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Read returns the counters of one account, all of the same moment, or ErrNoAccount.
func (d *Dataplane) Read(account Account) (Reading, error) {
	var u hotspotUsage
	err := d.state.Usages.LookupWithFlags(uint64(account), &u, ebpf.LookupLock)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Reading{}, fmt.Errorf("account %d: %w", account, ErrNoAccount)
	}
	if err != nil {
		return Reading{}, explain(fmt.Sprintf("account %d", account), err)
	}
	return d.reading(uint64(account), &u), nil
}

// ReadAll returns the counters of every account, each of one moment.
func (d *Dataplane) ReadAll() ([]Reading, error) {
	var list []Reading
	err := walk(d.state.Usages, ebpf.LookupLock, func(account uint64, u *hotspotUsage) {
		list = append(list, d.reading(account, u))
	})
	if err != nil {
		return nil, explain("reading the accounts", err)
	}
	return list, nil
}

func (d *Dataplane) reading(account uint64, u *hotspotUsage) Reading {
	return Reading{Account: Account(account), Counters: countersFromWire(u), Epoch: d.state.epoch}
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
