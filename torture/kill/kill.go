// SPDX-License-Identifier: Apache-2.0

// Package kill ends the daemon with SIGKILL at any time, also while it starts, under
// traffic and a stream of calls, and then counts: what was sold, what the wire carried,
// the events, and what is left behind.
package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	bulkPort    = 8080
	metricsAddr = "127.0.0.1:9599"
	patience    = 20 * time.Second
)

// Run kills the daemon again and again.
func Run(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: len(parts), Offloads: lab.OffloadsInside},
		"checkpoint: 1s", "max_clients: 64", "metrics: {listen: \""+metricsAddr+"\"}")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	t := &trial{Fixture: b, say: o.Say, kills: o.Pick(8, 250), random: rand.New(rand.NewPCG(o.Seed, 0))}
	defer func() { err = errors.Join(err, t.pump.Close()) }()
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if err := t.run(ctx); err != nil {
		return nil, fmt.Errorf("%w; the end of the agent's log:\n%s", err, tail(b.Agent.Log()))
	}
	row, err := t.judge(ctx)
	return []report.Row{row}, err
}

// trial is one run of the fault.
type trial struct {
	*fixture.Fixture
	say    func(string, ...any)
	kills  int
	random *rand.Rand

	pump      fixture.Sender
	customers []*customer // those of parts
	callers   []*caller   // the customers', and one without traffic
	listeners []*listener
	before    traces

	early   int           // kills during a start
	slowest time.Duration // start
	tried   uint64        // packets of the unpaid customer
	unpaid  int64         // that passed
}

// run has all parts work at the same time until the last kill.
func (t *trial) run(ctx context.Context) error {
	bulk, err := t.Kiosk.Server.ServeBulk(bulkPort)
	if err != nil {
		return err
	}
	defer bulk()
	stopTCP, err := t.transfer(ctx)
	if err != nil {
		return err
	}
	t.pump.Start()
	hearing, stopHearing := context.WithCancel(context.Background())
	defer stopHearing()
	for _, l := range t.listeners {
		go l.listen(hearing)
	}
	calling, stopCalling := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	for _, c := range t.callers {
		calls.Go(func() { c.run(calling) })
	}
	killed := t.killAll(ctx)
	stopCalling()
	calls.Wait()
	if killed == nil {
		killed = t.letIn(ctx)
	}
	t.pump.Stop()
	return errors.Join(killed, stopTCP(), t.heardAll(ctx))
}

// letIn sells to the unpaid customer. The packets of the same flows must arrive from now
// on: that none did before would prove nothing else.
func (t *trial) letIn(ctx context.Context) error {
	last := len(t.customers) - 1
	c := t.customers[last]
	down, up, err := c.wire.Read()
	if err != nil {
		return err
	}
	t.tried, t.unpaid = c.flows[0].Sent()+c.flows[1].Sent(), int64(down.Packets+up.Packets)
	if t.tried == 0 {
		return errors.New("nothing was sent unpaid")
	}
	if c.caller, err = t.newCaller(c.part, t.Kiosk.Customers[last].MAC.String()); err != nil {
		return err
	}
	if err := errors.Join(buy(c.caller), connect(c.caller)); err != nil {
		return err
	}
	return wait.Until(ctx, "packets both ways of the customer that paid last", func() (bool, error) {
		nowDown, nowUp, err := c.wire.Read()
		return nowDown.Packets > down.Packets && nowUp.Packets > up.Packets, err
	})
}

// transfer starts TCP both ways of the customer that has it, and returns what ends it
// and reports whether it lasted to the end.
func (t *trial) transfer(ctx context.Context) (stop func() error, err error) {
	for i, c := range t.customers {
		if !c.tcp {
			continue
		}
		flows, err := t.Kiosk.Customers[i].Transfer(netip.AddrPortFrom(t.Kiosk.Server.Addr4, bulkPort), 1, 1)
		if err != nil {
			return nil, err
		}
		return func() error {
			defer flows.Stop()
			before := flows.Bytes()
			return wait.Until(ctx, "TCP progress", func() (bool, error) { return flows.Bytes() > before, nil })
		}, nil
	}
	return nil, errors.New("no customer has TCP")
}

func tail(log string) string {
	const enough = 4000
	return log[max(0, len(log)-enough):]
}
