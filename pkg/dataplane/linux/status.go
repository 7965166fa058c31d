// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Status reads the state of everything. What it cannot read becomes a problem.
func (d *Dataplane) Status() dataplane.Status {
	s := dataplane.Status{Kernel: kernel.Release(), Epoch: d.maps.Epoch, Limiter: d.opts.Limiter, MaxClients: int(d.maps.Clients.MaxEntries())}
	list, problems := d.state.current()
	s.Interfaces, s.Problems = slices.Clone(list), problems
	for _, i := range s.Interfaces {
		if i.Problem != "" {
			s.Problems = append(s.Problems, notAttached(i))
		}
	}
	s.Clients = d.table.RuleCount()
	var err error
	if s.Traffic, err = traffic(d.maps); err != nil {
		s.Problems = append(s.Problems, dataplane.Problem{Code: dataplane.StatisticsFailing, Detail: err.Error()})
	}
	s.Healthy = len(s.Problems) == 0
	return s
}

// notAttached is the problem of an interface that lacks the programs. Nothing passes one
// that does not exist.
func notAttached(i dataplane.Interface) dataplane.Problem {
	p := dataplane.Problem{Code: dataplane.NotAttached, Interface: i.Name, Detail: fmt.Sprintf("interface %s: %s", i.Name, i.Problem), Exposed: true}
	if i.Index == 0 {
		p.Code, p.Exposed = dataplane.InterfaceAbsent, false
	}
	return p
}

func traffic(maps *pins.Maps) ([]dataplane.Traffic, error) {
	var list []dataplane.Traffic
	for dir := range uint32(bpf.Directions) {
		for reason, label := range bpf.ReasonLabels {
			var perCPU []bpf.HotspotStat
			key := dir*uint32(bpf.HotspotReasonREASONS) + uint32(reason)
			if err := maps.Stats.Lookup(key, &perCPU); err != nil {
				return nil, kernel.Explain("reading the statistics", err)
			}
			t := dataplane.Traffic{Direction: bpf.DirectionLabels[dir], Reason: label}
			for _, cpu := range perCPU {
				t.Frames += cpu.Packets
				t.Bytes += cpu.Bytes
			}
			list = append(list, t)
		}
	}
	return list, nil
}
