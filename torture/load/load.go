// SPDX-License-Identifier: Apache-2.0

// Package load gives the agent more to do than any portal would: thousands of customers,
// as many calls as it answers, and beside them clients that stop in the middle of a
// request, of an answer or of the events. A connected customer must not notice.
package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	maxClients = 16_384
	buyers     = 16 // callers of a portal at the same time
	// mostResident is what the load may leave in the process, pools and buffers, and
	// mostPeak what it may take meanwhile.
	mostResident, mostPeak = 32 << 20, 96 << 20
	// moreShort is how many times as much the agents of the short form may take: they
	// have the race detector.
	moreShort = 4
	// mostOpen is how many descriptors it may leave: connections that the client keeps.
	mostOpen = 8
	// patience is longer than any client may keep the agent waiting.
	patience = 75 * time.Second
)

// plan is how much is tried.
type plan struct {
	customers int
	connects  int // that are timed, at rest and under load
	least     time.Duration
	rid       bool   // the agent has to be rid of stuck clients by itself
	more      uint64 // times the memory that a load may take
}

// Run loads the agent, then has all of it come back as after a reboot.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	k, err := open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	p := plan{
		customers: o.Pick(200, 10_000),
		connects:  o.Pick(50, 1000),
		least:     time.Duration(o.Pick(2, 20)) * time.Second,
		rid:       o.Scale == report.Long,
		more:      uint64(o.Pick(moreShort, 1)),
	}
	t := trial{kiosk: k, plan: p}
	loaded, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	back, err := k.comeBack(ctx, p)
	return []report.Row{loaded, back}, err
}

// kiosk is where the load is.
type kiosk struct{ *fixture.Fixture }

func open(o report.Options) (kiosk, error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: 2}, fmt.Sprintf("max_clients: %d", maxClients), "log: {level: warn}")
	if err != nil {
		return kiosk{}, err
	}
	b.OnClose(b.Agent.Kill) // a clean stop debits each of the crowd
	return kiosk{b}, nil
}

// plenty is a session that is not used up in a test.
var plenty = map[string]any{
	"type": "time_or_data", "time_secs": 1_000_000, "data_bytes": uint64(1e12), "down_bps": 20_000_000, "up_bps": 20_000_000,
}
