// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Status reads the state of everything. What it cannot read becomes a problem.
func (d *Dataplane) Status() dataplane.Status {
	s := dataplane.Status{Kernel: kernelRelease(), Epoch: d.maps.epoch, Limiter: d.opts.Limiter, MaxClients: int(d.maxClients())}
	list, problem := d.state.current()
	s.Interfaces = slices.Clone(list)
	if problem != "" {
		s.Problems = append(s.Problems, problem)
	}
	for _, i := range s.Interfaces {
		if i.Problem != "" {
			s.Problems = append(s.Problems, fmt.Sprintf("interface %s: %s", i.Name, i.Problem))
		}
	}
	d.table.mu.Lock()
	s.Clients = d.table.clients.enforced
	d.table.mu.Unlock()
	var err error
	if s.Traffic, err = d.traffic(); err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	s.Healthy = len(s.Problems) == 0
	return s
}

func (d *Dataplane) traffic() ([]dataplane.Traffic, error) {
	var list []dataplane.Traffic
	for dir := range uint32(directions) {
		for reason, label := range reasonLabels {
			var perCPU []hotspotStat
			key := dir*uint32(hotspotReasonREASONS) + uint32(reason)
			if err := d.maps.Stats.Lookup(key, &perCPU); err != nil {
				return nil, explain("reading the statistics", err)
			}
			t := dataplane.Traffic{Direction: directionLabels[dir], Reason: label}
			for _, cpu := range perCPU {
				t.Frames += cpu.Packets
				t.Bytes += cpu.Bytes
			}
			list = append(list, t)
		}
	}
	return list, nil
}
