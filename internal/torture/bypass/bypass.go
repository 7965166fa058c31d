// SPDX-License-Identifier: Apache-2.0

// Package bypass has a device that did not pay try everything to get a packet past the
// router, and counts what arrives: at the server, with a raw socket.
package bypass

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/internal/adversary"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/rig"
	"github.com/hotspot-agent/hotspot-agent/internal/torture/report"
)

// place is where the agent stands.
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

// bed is a kiosk with customer 0, who has not paid, and customer 1, who has.
type bed struct {
	kiosk   *lab.Kiosk
	agent   *rig.Agent
	witness *adversary.Witness

	unpaid, paid adversary.Device
	closers      []func() error
}

func (p place) open(o report.Options) (b *bed, err error) {
	b = &bed{}
	l, err := lab.New("hs-bypass")
	if err != nil {
		return b, err
	}
	b.closers = append(b.closers, l.Close)
	if b.kiosk, err = l.Kiosk(lab.KioskConfig{Customers: 2}); err != nil {
		return b, err
	}
	if err = p.prepare(b.kiosk); err != nil {
		return b, err
	}
	if b.agent, err = rig.New(b.kiosk, o.Agent, "interfaces: "+p.interfaces, "portal: [':8080']"); err != nil {
		return b, err
	}
	b.closers = append(b.closers, b.agent.Close)
	if err = b.agent.Start(); err != nil {
		return b, err
	}
	return b, b.furnish()
}

// furnish lets customer 1 pay. A group's frames reach it over the bridge: what it answers
// to them is its own traffic.
func (b *bed) furnish() (err error) {
	if err = b.kiosk.Customers[1].MuteErrors(); err != nil {
		return err
	}
	if b.witness, err = adversary.NewWitness(b.kiosk); err != nil {
		return err
	}
	b.closers = append(b.closers, func() error { b.witness.Close(); return nil })
	mac := b.kiosk.Customers[1].MAC.String()
	if _, err = b.agent.Buy(mac, "--type", "time", "--time", "1h"); err != nil {
		return err
	}
	if _, err = b.agent.Connect(mac); err != nil {
		return err
	}
	var err1, err2 error
	b.unpaid, err1 = adversary.Of(b.kiosk, 0, 1)
	b.paid, err2 = adversary.Of(b.kiosk, 1, 0)
	return errors.Join(err1, err2)
}

func (b *bed) close() (err error) {
	for _, closer := range slices.Backward(b.closers) {
		err = errors.Join(err, closer())
	}
	return err
}

func (p place) try(ctx context.Context, o report.Options, seed uint64) (row report.Row, err error) {
	row = report.Row{Fault: p.name}
	b, err := p.open(o)
	defer func() { err = errors.Join(err, b.close()) }()
	if err != nil {
		return row, err
	}
	var frames [][]byte
	for _, try := range slices.Concat(b.unpaid.Forwarded(), b.unpaid.Tricks()) {
		frames = append(frames, try.Frame)
	}
	named := len(frames)
	random := b.unpaid.Random(seed)
	for range o.Pick(3000, 200_000) {
		frames = append(frames, random())
	}
	if err := b.attack(ctx, frames); err != nil {
		return row, err
	}
	passed, last := b.witness.Passed()
	row.Runs, row.Unpaid = len(frames), report.Zero(int64(passed))
	row.Notes = append(row.Notes, fmt.Sprintf("%d frames with a name, %d at random", named, len(frames)-named))
	if passed > 0 {
		row.Failures = append(row.Failures, fmt.Sprintf("the last frame that passed: %x", last))
	}
	if err := b.control(&row); err != nil || p.interfaces != bridge {
		return row, err
	}
	return row, b.tunnel(ctx, o, &row)
}

// attack sends all frames, in batches: the queues of the lab hold no more.
func (b *bed) attack(ctx context.Context, frames [][]byte) error {
	const batch = 200
	for some := range slices.Chunk(frames, batch) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.kiosk.Customers[0].SendFrames(lab.Uplink, some...); err != nil {
			return err
		}
		if err := b.witness.Settle(b.paid, b.kiosk.Customers[1]); err != nil {
			return err
		}
	}
	return nil
}

// control has the paid device send what Linux forwards: all of it must arrive, or the
// attack proves nothing.
func (b *bed) control(row *report.Row) error {
	before, _ := b.witness.Passed()
	tries := b.paid.Forwarded()
	for _, try := range tries {
		if err := b.kiosk.Customers[1].SendFrames(lab.Uplink, try.Frame); err != nil {
			return err
		}
	}
	if err := b.witness.Settle(b.paid, b.kiosk.Customers[1]); err != nil {
		return err
	}
	after, _ := b.witness.Passed()
	row.Packets = report.Zero(int64(len(tries) - (after - before)))
	return nil
}
