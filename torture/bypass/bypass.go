// SPDX-License-Identifier: Apache-2.0

// Package bypass sends attack frames from an unpaid device and counts those that arrive at
// the server, with a raw socket.
package bypass

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/internal/adversary"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// place is the interfaces that the agent is attached to.
type place struct {
	name       string
	prepare    func(*lab.Kiosk) error
	interfaces string
}

const bridge = "[" + lab.Bridge + "]"

var places = []place{
	{"bypass of a bridge", (*lab.Kiosk).DefaultRoutes, bridge},
	{"bypass of a bridge's ports", (*lab.Kiosk).DefaultRoutes, "[lan1, lan2]"},
	{"bypass of an interface", func(k *lab.Kiosk) error { return errors.Join(k.Unbridge(), k.DefaultRoutes()) }, "[lan1, lan2]"},
}

// Run tries all that has a name and then as many random frames as the scale asks for, at
// each place.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	for i, p := range places {
		row, err := p.try(ctx, o, o.Seed+uint64(i))
		rows = append(rows, row)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return rows, nil
}

// kiosk has customer 0, unpaid, and customer 1, which is connected.
type kiosk struct {
	*fixture.Fixture
	witness      *adversary.Witness
	unpaid, paid adversary.Device
}

func (p place) open(o report.Options) (k *kiosk, err error) {
	b, err := fixture.New(o, lab.KioskConfig{Customers: 2}, "interfaces: "+p.interfaces, "portal: [':8080']")
	if err != nil {
		return nil, err
	}
	k = &kiosk{Fixture: b}
	for _, step := range []func() error{func() error { return p.prepare(b.Kiosk) }, b.Agent.Start, k.furnish} {
		if err := step(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return k, nil
}

// furnish lets customer 1 pay. A group's frames reach it over the bridge: what it answers
// to them is its own traffic.
func (k *kiosk) furnish() (err error) {
	if err = k.Kiosk.Customers[1].DropICMPErrors(); err != nil {
		return err
	}
	if k.witness, err = adversary.NewWitness(k.Kiosk); err != nil {
		return err
	}
	k.OnClose(func() error { k.witness.Close(); return nil })
	mac := k.Kiosk.Customers[1].MAC.String()
	if _, err = k.Agent.Buy(mac, "--type", "time", "--time", "1h"); err != nil {
		return err
	}
	if _, err = k.Agent.Connect(mac); err != nil {
		return err
	}
	var err1, err2 error
	k.unpaid, err1 = adversary.Of(k.Kiosk, 0, 1)
	k.paid, err2 = adversary.Of(k.Kiosk, 1, 0)
	return errors.Join(err1, err2)
}

func (p place) try(ctx context.Context, o report.Options, seed uint64) (row report.Row, err error) {
	row = report.Row{Fault: p.name}
	k, err := p.open(o)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	var frames [][]byte
	for _, try := range slices.Concat(k.unpaid.Forwarded(), k.unpaid.Attacks()) {
		frames = append(frames, try.Frame)
	}
	named := len(frames)
	random := k.unpaid.Random(seed)
	for range o.Pick(3000, 200_000) {
		frames = append(frames, random())
	}
	if err := k.attack(ctx, frames); err != nil {
		return row, err
	}
	passed, last := k.witness.Passed()
	row.Runs, row.Unpaid = len(frames), report.Zero(int64(passed))
	row.Notes = append(row.Notes, fmt.Sprintf("%d frames with a name, %d at random", named, len(frames)-named))
	if passed > 0 {
		row.Failures = append(row.Failures, fmt.Sprintf("the last frame that passed: %x", last))
	}
	if err := k.control(&row); err != nil || p.interfaces != bridge {
		return row, err
	}
	return row, k.tunnel(ctx, o, &row)
}

// attack sends all frames, in batches: the queues of the lab hold no more.
func (k *kiosk) attack(ctx context.Context, frames [][]byte) error {
	const batch = 200
	for some := range slices.Chunk(frames, batch) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := k.Kiosk.Customers[0].SendFrames(lab.Uplink, some...); err != nil {
			return err
		}
		if err := k.witness.Settle(k.paid, k.Kiosk.Customers[1]); err != nil {
			return err
		}
	}
	return nil
}

// control has the paid device send what Linux forwards: all of it must arrive, or the
// attack proves nothing.
func (k *kiosk) control(row *report.Row) error {
	before, _ := k.witness.Passed()
	tries := k.paid.Forwarded()
	for _, try := range tries {
		if err := k.Kiosk.Customers[1].SendFrames(lab.Uplink, try.Frame); err != nil {
			return err
		}
	}
	if err := k.witness.Settle(k.paid, k.Kiosk.Customers[1]); err != nil {
		return err
	}
	after, _ := k.witness.Passed()
	row.Packets = report.Zero(int64(len(tries) - (after - before)))
	return nil
}
