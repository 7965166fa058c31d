// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Status reads the state of everything. What it cannot read becomes a problem.
func (d *Dataplane) Status() dataplane.Status {
	s := dataplane.Status{Kernel: kernel.Release(), Epoch: d.maps.Epoch, Limiter: d.opts.Limiter, MaxClients: int(d.maps.Clients.MaxEntries())}
	var err, uncounted error
	s.Traffic, err = traffic(d.maps)
	s.Garden, uncounted = gardenCounts(d.maps)
	if err = errors.Join(err, uncounted); err != nil {
		d.state.setProblems(byStatistics, dataplane.Problem{Code: dataplane.StatisticsFailing, Detail: err.Error()})
	} else {
		d.state.setProblems(byStatistics)
	}
	s.Clients = d.table.RuleCount()
	s.Interfaces, s.Problems = d.state.found()
	s.Healthy = len(s.Problems) == 0
	return s
}

// Problems returns what was found wrong last, from memory.
func (d *Dataplane) Problems() []dataplane.Problem {
	_, problems := d.state.found()
	return problems
}

// traffic reads all statistics in one call (kernel >= 5.13).
func traffic(maps *pins.Maps) ([]dataplane.Traffic, error) {
	entries, cpus := int(maps.Stats.MaxEntries()), ebpf.MustPossibleCPU()
	keys, perCPU := make([]uint32, entries), make([]bpf.HotspotStat, entries*cpus)
	var cursor ebpf.MapBatchCursor
	n, err := maps.Stats.BatchLookup(&cursor, keys, perCPU, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // that says it was the last batch
		return nil, kernel.Explain("reading the statistics", err)
	}
	list := make([]dataplane.Traffic, 0, n)
	for i, key := range keys[:n] {
		dir, reason := key/uint32(bpf.HotspotReasonREASONS), key%uint32(bpf.HotspotReasonREASONS)
		t := dataplane.Traffic{Direction: bpf.DirectionLabels[dir], Reason: bpf.ReasonLabels[reason]}
		for _, cpu := range perCPU[i*cpus : (i+1)*cpus] {
			t.Frames += cpu.Packets
			t.Bytes += cpu.Bytes
		}
		list = append(list, t)
	}
	return list, nil
}
