// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// openFlows opens the map of the flows' queues that is pinned in dir, or makes it.
// A limiter that has no such queues gets a map of one entry, unpinned, because the
// programs name one. What is in the queues is worth less than a second of traffic:
// a map that does not suit is replaced.
func openFlows(spec *ebpf.CollectionSpec, dir string, l dataplane.Limiter) (m *ebpf.Map, made bool, err error) {
	ms := spec.Maps[hotspotMapFlows]
	if l != dataplane.Fair {
		ms.MaxEntries = 1
		m, err = newMap(ms)
		return m, false, err
	}
	ms.MaxEntries = maxQueues(spec.Maps[hotspotMapClients].MaxEntries)
	pin := filepath.Join(dir, hotspotMapFlows)
	if m, err = ebpf.LoadPinnedMap(pin, nil); err == nil {
		if ms.Compatible(m) == nil {
			return m, false, nil
		}
		_ = m.Close()
	}
	if m, err = newMap(ms); err != nil {
		return nil, false, err
	}
	if err := replacePin(m, pin); err != nil {
		_ = m.Close()
		return nil, false, explain("pinning map "+hotspotMapFlows, err)
	}
	return m, true, nil
}

// maxQueues leaves room for accounts that take another's place before the packets of
// that one are through.
func maxQueues(maxClients uint32) uint32 { return maxClients + maxClients/16 + 16 }

func newMap(ms *ebpf.MapSpec) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(ms)
	if err != nil {
		return nil, explain("making map "+ms.Name, err)
	}
	return m, nil
}

// unpinUnused lets go of the queues that another limiter left.
func (s *pinnedMaps) unpinUnused(p pins) error {
	if s.limiter == dataplane.Fair {
		return nil
	}
	err := os.Remove(filepath.Join(p.maps(), hotspotMapFlows))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}
