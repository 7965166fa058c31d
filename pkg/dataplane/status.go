// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"slices"
)

// Status is the enforcement at one moment.
type Status struct {
	Kernel     string // release
	Epoch      uint64
	Limiter    Limiter
	Healthy    bool // every named interface is attached and nothing else is wrong
	Problems   []string
	Interfaces []Interface // in the order of the options
	Traffic    []Traffic   // by direction and reason, zero ones too
	Clients    int         // rules in the kernel
	MaxClients int         // and how many it can hold
}

// Traffic counts what the programs did with frames for one reason since the maps
// were made.
type Traffic struct {
	Direction string // "upload" or "download"
	Reason    string // stable label, "pass_..." or "drop_..."
	Frames    uint64 // as the hook sees them: a super-packet is one
	Bytes     uint64 // wire bytes of IP packets
}

// Status reads the state of everything. What it cannot read becomes a problem.
func (d *Dataplane) Status() Status {
	s := Status{Kernel: kernelRelease(), Epoch: d.state.epoch, Limiter: d.opts.Limiter, MaxClients: int(d.maxClients())}
	d.seen.Lock()
	s.Interfaces = slices.Clone(d.seen.attachments)
	if d.seen.problem != "" {
		s.Problems = append(s.Problems, d.seen.problem)
	}
	d.seen.Unlock()
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

func (d *Dataplane) traffic() ([]Traffic, error) {
	var list []Traffic
	for dir := range uint32(directions) {
		for reason, label := range reasonLabels {
			var perCPU []hotspotStat
			key := dir*uint32(hotspotReasonREASONS) + uint32(reason)
			if err := d.state.Stats.Lookup(key, &perCPU); err != nil {
				return nil, explain("reading the statistics", err)
			}
			t := Traffic{Direction: directionLabels[dir], Reason: label}
			for _, cpu := range perCPU {
				t.Frames += cpu.Packets
				t.Bytes += cpu.Bytes
			}
			list = append(list, t)
		}
	}
	return list, nil
}
