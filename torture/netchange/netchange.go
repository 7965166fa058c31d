// SPDX-License-Identifier: Apache-2.0

// Package netchange takes the client-facing interface and the agent's programs away, as
// network managers and other tools do, and sees how soon everything is enforced again,
// what slips through meanwhile, and that nothing is counted twice. It also puts another
// program before the agent's, and starts a second agent.
package netchange

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	paid    = 2 // customers; one more is unpaid
	ipBytes = 200
	within  = time.Second // of the interface, enforcement is back
)

// Run tries each change, with links and with filters.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	random := rand.New(rand.NewPCG(o.Seed, 5))
	for _, mode := range []string{"tcx", "clsact"} {
		for _, group := range groups {
			row, err := try(ctx, o, mode, group, random)
			if err != nil {
				return rows, fmt.Errorf("%s, %s: %w", group.name, mode, err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func try(ctx context.Context, o report.Options, mode string, g group, random *rand.Rand) (row report.Row, err error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: paid + 1}, "checkpoint: 1s", "attach: "+mode)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	t := &trial{Fixture: b, random: random, binary: o.Agent, row: report.Row{Fault: "network: " + g.name + ", " + mode}}
	defer func() { err = errors.Join(err, t.pump.Close()) }()
	if err := t.prepare(ctx); err != nil {
		return row, err
	}
	t.pump.Start()
	err = t.flowing(ctx)
	rounds := o.Pick(1, 8)
	if g.once {
		rounds = 1
	}
	for range rounds {
		for _, c := range g.changes {
			if err == nil && (c.mode == "" || c.mode == mode) {
				err = t.make(ctx, c)
			}
		}
	}
	if err = errors.Join(err, ctx.Err()); err == nil {
		err = t.letIn(ctx)
	}
	t.pump.Stop()
	if err != nil {
		return row, err
	}
	return t.judge(ctx, g)
}

// customer is a host with numbered packets both ways.
type customer struct {
	host      *lab.Host
	up, down  *fixture.Flow
	forwarded *lab.Counter // by the router: more cannot be charged
	session   int64        // 0: unpaid
}

// trial is a run of one group of changes in one mode.
type trial struct {
	*fixture.Fixture
	random    *rand.Rand
	binary    string // of the agent
	pump      fixture.Sender
	customers []*customer

	row     report.Row
	tried   uint64        // packets of the unpaid customer
	slipped int64         // of them
	open    time.Duration // the sum of the times for which they passed
	risky   int           // changes that may open the network for a short time
	opened  int           // changes that did
}

func (t *trial) prepare(ctx context.Context) error {
	for i, host := range t.Kiosk.Customers {
		c := &customer{host: host}
		t.customers = append(t.customers, c)
		var err error
		if c.up, err = t.flow(host, t.Kiosk.Server, 9100+uint16(i)); err != nil {
			return err
		}
		if c.down, err = t.flow(t.Kiosk.Server, host, 9000); err != nil {
			return err
		}
		c.up.Sink.Keep()
		c.down.Sink.Keep()
		c.forwarded, err = t.Kiosk.Router.Count(lab.Forward, "", "ip saddr "+host.Addr4.String(), "ip daddr "+host.Addr4.String())
		if err != nil {
			return err
		}
		if i < paid {
			if err := t.sell(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trial) flow(from, to *lab.Host, port uint16) (*fixture.Flow, error) {
	return t.pump.Add(fixture.FlowConfig{From: from, To: to, Port: port, PerTick: 1, Every: 1, IPBytes: ipBytes})
}

func (t *trial) sell(ctx context.Context, c *customer) error {
	device := c.host.MAC.String()
	var sold struct{ ID int64 }
	err := t.API.Call(ctx, "POST", "/sessions", map[string]any{"device": device, "type": "data", "data_bytes": 10_000_000_000}, &sold)
	c.session = sold.ID
	return errors.Join(err, t.API.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil))
}
