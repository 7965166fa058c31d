// SPDX-License-Identifier: Apache-2.0

package kill

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
)

// part is what a customer plays.
type part struct {
	name    string
	steady  bool // is connected all along: no packet may be lost
	tcp     bool // has TCP, at a speed, instead of UDP
	deletes bool // deletes sessions, with what was used of them
	deeds   []deed
	offer   func(*rand.Rand) session
}

var (
	tills    = []deed{topUp, topUp, buy, buyOnce}
	churns   = []deed{buy, buyOnce, connect, connect, pause, topUp}
	allDeeds = []deed{buy, buyOnce, connect, connect, pause, topUp, remove, move}

	// parts are the customers of the kiosk. The last one does not pay until all is over.
	parts = []part{
		{name: "steady 1", steady: true, deeds: tills, offer: plenty},
		{name: "steady 2", steady: true, deeds: tills, offer: plenty},
		{name: "TCP", tcp: true, deeds: tills, offer: plentyWithSpeed},
		{name: "churn 1", deeds: churns, offer: little},
		{name: "churn 2", deeds: churns, offer: little},
		{name: "mover", deeds: append([]deed{move, move}, churns...), offer: little},
		{name: "deleter", deletes: true, deeds: allDeeds, offer: little},
		{name: "unpaid", offer: plenty},
	}
	// walkIn buys, moves and deletes without a packet.
	walkIn = part{name: "walk-in", deletes: true, deeds: allDeeds, offer: little}
)

func plenty(*rand.Rand) session { return session{Type: "data", DataBytes: 10_000_000_000} }

func plentyWithSpeed(*rand.Rand) session {
	return session{Type: "data", DataBytes: 10_000_000_000, DownBPS: 10_000_000, UpBPS: 10_000_000}
}

// little is used up in a second or two.
func little(r *rand.Rand) session {
	s := session{DataBytes: 10_000 + r.Uint64N(150_000), TimeSecs: 1 + r.Int64N(2)}
	switch r.IntN(3) {
	case 0:
		s.Type, s.DataBytes = "time", 0
	case 1:
		s.Type, s.TimeSecs = "data", 0
	default:
		s.Type = "time_or_data"
	}
	return s
}

// customer is a host of the kiosk with its part.
type customer struct {
	part
	wire   *lab.Wire
	flows  []*fixture.Flow
	caller *caller // nil until it pays
}

// prepare makes everything ready to run, and connects those that stay connected.
func (t *trial) prepare() error {
	for i, p := range parts {
		c, err := t.newCustomer(i, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		t.customers = append(t.customers, c)
	}
	const spare = "02:c1:00:00:00:ff"
	if _, err := t.newCaller(walkIn, spare); err != nil {
		return err
	}
	t.listeners = []*listener{newListener("subscriber", t.subscribe), newListener("events", t.follow)}
	return t.warmUp()
}

// warmUp has everything done once and then looks at what there is.
func (t *trial) warmUp() error {
	for _, c := range t.callers {
		for _, d := range c.deeds {
			if err := d(c); err != nil {
				return err
			}
		}
	}
	var err error
	t.before, err = t.traces()
	return err
}

func (t *trial) newCustomer(i int, p part) (c *customer, err error) {
	c = &customer{part: p}
	if c.wire, err = t.Kiosk.Wire(i); err != nil {
		return nil, err
	}
	if !p.tcp {
		if err := t.addFlows(i, c); err != nil {
			return nil, err
		}
	}
	if p.deeds == nil {
		return c, nil
	}
	if c.caller, err = t.newCaller(p, t.Kiosk.Customers[i].MAC.String()); err != nil {
		return nil, err
	}
	if p.steady || p.tcp {
		err = errors.Join(buy(c.caller), connect(c.caller))
	}
	return c, err
}

// addFlows gives a customer UDP both ways.
func (t *trial) addFlows(i int, c *customer) error {
	const port, upPorts, ipBytes = 9000, 9100, 200
	host, beats := t.Kiosk.Customers[i], 2
	if c.steady {
		beats = 1
	}
	for _, f := range []fixture.FlowConfig{
		{From: host, To: t.Kiosk.Server, Port: upPorts + uint16(i)},
		{From: t.Kiosk.Server, To: host, Port: port},
	} {
		f.PerTick, f.Every, f.IPBytes = 1, beats, ipBytes
		flow, err := t.pump.Add(f)
		if err != nil {
			return err
		}
		c.flows = append(c.flows, flow)
	}
	return nil
}

// newCaller registers a device and makes the client that sells to it. Its purchases have numbers
// of their own.
func (t *trial) newCaller(p part, mac string) (*caller, error) {
	const purchases = 3600 // ten callers, and 36,500 days at most
	c := &caller{
		api: t.API, random: rand.New(rand.NewPCG(t.random.Uint64(), 1)), deeds: p.deeds, offer: p.offer,
		macs: []string{mac, fmt.Sprintf("02:c2:00:00:00:%02x", len(t.callers))}, mac: mac,
		tag: 1 + uint(len(t.callers))*purchases, gone: make(map[int64]bool),
	}
	var device struct{ ID int64 }
	if err := c.call("POST", "/devices", map[string]string{"mac": mac}, &device); err != nil {
		return nil, err
	}
	c.device = device.ID
	t.callers = append(t.callers, c)
	return c, nil
}
