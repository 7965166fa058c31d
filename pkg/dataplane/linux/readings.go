// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Read returns the counters of one account, or ErrNoAccount.
func (d *Dataplane) Read(id dataplane.Account) (dataplane.Reading, error) {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.unmapIdle()
	index, own := d.table.accounts.find(id)
	if own == nil {
		return dataplane.Reading{}, fmt.Errorf("account %d: %w", id, dataplane.ErrNoAccount)
	}
	return d.reading(index), nil
}

// batchSize is how many accounts are read before others have a turn.
const batchSize = 256

// ReadAll visits the counters of every account, some at a time, until visit returns
// false. The slice is used again. It is a pass over memory that does not fail; accounts
// that are made meanwhile may be left out.
func (d *Dataplane) ReadAll(visit func([]dataplane.Reading) bool) error {
	readings := make([]dataplane.Reading, 0, batchSize)
	for from, more := 0, true; more; from += batchSize {
		readings, more = d.readBatch(readings[:0], from)
		if len(readings) > 0 && !visit(readings) {
			break
		}
	}
	return nil
}

func (d *Dataplane) readBatch(readings []dataplane.Reading, from int) (_ []dataplane.Reading, more bool) {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.unmapIdle()
	all := d.table.accounts.at
	upTo := min(from+batchSize, len(all))
	for i := min(from, upTo); i < upTo; i++ {
		if all[i].id != 0 {
			readings = append(readings, d.reading(uint32(i)))
		}
	}
	return readings, upTo < len(all)
}

func (d *Dataplane) reading(index uint32) dataplane.Reading {
	counters, final := d.table.accounts.read(index)
	return dataplane.Reading{
		Account: d.table.accounts.at[index].id, Counters: counters, Final: final, Epoch: d.maps.epoch, Slot: index,
	}
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
