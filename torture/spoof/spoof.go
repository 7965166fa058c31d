// SPDX-License-Identifier: Apache-2.0

// Package spoof copies the MAC of a connected customer: a second machine uses it on
// another port of the bridge, with another address. And it has customers take what they
// bought to a new MAC.
package spoof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	ownPort, stolenPort, backPort = 7001, 7002, 7003 // UDP: of the customer, of the thief, and to it
	claimPorts                    = 7004             // and the next one
	speedBPS, packetBytes         = 400_000, 200
	noticeable                    = time.Second // until the event of a conflict, at most
)

// Run steals under each setting of bind, then has purchases claimed.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	for _, fault := range []struct {
		name, bind string
		try        func(context.Context, *scene, *report.Row) error
	}{
		{"stolen MAC, bind none", "none", observed},
		{"stolen MAC, bind ip", "ip", bound},
		{"stolen MAC, bind port", "port", cutOff},
		{"claimed purchase", "none", claimed},
	} {
		row := report.Row{Fault: fault.name}
		for range o.Pick(1, 5) {
			if err := once(ctx, o, fault.bind, &row, fault.try); err != nil {
				return rows, fmt.Errorf("%s: %w", fault.name, err)
			}
			row.Runs++
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// scene is a kiosk whose first customer is connected and sends, and whose second is
// the thief, or the customer's other machine.
type scene struct {
	*fixture.Fixture
	o        report.Options
	customer *lab.Host
	other    *lab.Host
	device   string // the customer's MAC
	bought   purchase
	events   *listener
	own      *flow.Flow // of the customer
}

type purchase struct {
	ID    int64
	Claim string
}

// once sets a scene, and has something tried in it.
func once(ctx context.Context, o report.Options, bind string, row *report.Row,
	try func(context.Context, *scene, *report.Row) error,
) (err error) {
	b, err := fixture.Open(o, lab.KioskConfig{Customers: 2, Offloads: lab.OffloadsOff}, "bind: "+bind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	s := &scene{Fixture: b, o: o, customer: b.Kiosk.Customers[0], other: b.Kiosk.Customers[1]}
	if err := s.open(ctx); err != nil {
		return err
	}
	return try(ctx, s, row)
}

// open connects the customer, which starts to send.
func (s *scene) open(ctx context.Context) (err error) {
	s.device = s.customer.MAC.String()
	if _, err := s.Agent.Run("device", "add", s.device, "--ip", s.customer.Addr4.String()); err != nil {
		return err
	}
	err = s.Agent.JSON(&s.bought, "session", "create", "--device", s.device, "--type", "data", "--data", "1GB")
	if err != nil {
		return err
	}
	if _, err := s.Agent.Connect(s.device); err != nil {
		return err
	}
	if s.events, err = s.listen(ctx); err != nil {
		return err
	}
	if s.own, err = s.send(ctx, s.customer, s.Kiosk.Server, ownPort); err != nil {
		return err
	}
	return s.own.Await(ctx, 50)
}

// send has one host send to another until the scene is closed.
func (s *scene) send(ctx context.Context, from, to *lab.Host, port uint16) (*flow.Flow, error) {
	f, err := flow.Start(ctx, flow.Config{From: from, To: to, Port: port, BitsPerSecond: speedBPS, IPBytes: packetBytes})
	if err == nil {
		s.OnClose(f.Close)
	}
	return f, err
}

// theft is the second machine with the MAC, and what reaches it and the server.
type theft struct {
	*flow.Flow
	began    time.Time
	up, down *lab.Counter
	back     *flow.Flow // from the server to the thief
}

// steal begins.
func (s *scene) steal(ctx context.Context) (t *theft, err error) {
	t = &theft{}
	if t.up, err = s.Kiosk.Server.Count(lab.Ingress, lab.Uplink, "ip saddr "+s.other.Addr4.String()); err != nil {
		return nil, err
	}
	if t.down, err = s.other.Count(lab.Ingress, lab.Uplink, fmt.Sprintf("udp dport %d", backPort)); err != nil {
		return nil, err
	}
	if err := s.other.SpoofMAC(s.customer.MAC); err != nil {
		return nil, err
	}
	t.began = time.Now()
	if t.Flow, err = s.send(ctx, s.other, s.Kiosk.Server, stolenPort); err != nil {
		return nil, err
	}
	t.back, err = s.send(ctx, s.Kiosk.Server, s.other, backPort)
	return t, err
}

func (t *theft) end() error { return errors.Join(t.End(), t.back.End()) }

// passed is how many packets got through to the server and to the thief.
func (t *theft) passed() (int64, error) {
	up, err := t.up.Read()
	if err != nil {
		return 0, err
	}
	down, err := t.down.Read()
	return int64(up.Packets + down.Packets), err
}

// wait lets the theft last for a while.
func (s *scene) wait(ctx context.Context) error {
	return wait.For(ctx, time.Duration(s.o.Pick(1, 10))*time.Second)
}

// observed: within a second the agent publishes one event for the address and one for the port.
func observed(ctx context.Context, s *scene, row *report.Row) error {
	t, err := s.steal(ctx)
	if err != nil {
		return err
	}
	if err := s.noticed(ctx, t, row); err != nil {
		return err
	}
	if err := t.Await(ctx, 50); err != nil { // the server counts what passes
		return err
	}
	return s.lost(row)
}

// noticed waits for the two events of the conflict.
func (s *scene) noticed(ctx context.Context, t *theft, row *report.Row) error {
	row.Most = noticeable
	for _, differs := range []string{"address", "port"} {
		at, err := s.events.wait(ctx, "a conflict about the "+differs, func(e event) bool { return e.Type == "client.conflict" && e.Differs == differs })
		if err != nil {
			return err
		}
		row.Recovery = max(row.Recovery, at.Sub(t.began))
	}
	return nil
}

// bound: nothing of the thief passes, and the customer does not notice.
func bound(ctx context.Context, s *scene, row *report.Row) error {
	t, err := s.steal(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.noticed(ctx, t, row), s.wait(ctx), t.end()); err != nil {
		return err
	}
	passed, err := t.passed()
	if err != nil {
		return err
	}
	row.Unpaid = report.Zero(row.Unpaid.Value + passed)
	return s.lost(row)
}

// lost adds up what the customer sent in vain.
func (s *scene) lost(row *report.Row) error {
	_, lost, err := s.own.Lost()
	row.Packets = report.Zero(row.Packets.Value + lost)
	return err
}

// cutOff: as soon as the MAC is on another port, no packet of it passes.
func cutOff(ctx context.Context, s *scene, row *report.Row) error {
	t, err := s.steal(ctx)
	if err != nil {
		return err
	}
	at, err := s.events.wait(ctx, "the cut", func(e event) bool { return e.Type == "client.disconnected" && e.Reason == "port" })
	if err != nil {
		return err
	}
	row.Recovery, row.Most = max(row.Recovery, at.Sub(t.began)), noticeable
	before, err := t.passed()
	if err != nil {
		return err
	}
	if err := s.wait(ctx); err != nil {
		return err
	}
	after, err := t.passed()
	row.Unpaid = report.Zero(row.Unpaid.Value + after - before)
	row.Notes = append(row.Notes, fmt.Sprintf("%d packets until the cut", before))
	return err
}
