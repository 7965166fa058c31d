// SPDX-License-Identifier: Apache-2.0

package spoof

import (
	"context"
	"errors"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// machine is one of the two that a purchase goes to and fro between.
type machine struct {
	*lab.Host
	*flow.Flow
	wire *lab.Counter // what the server gets of it
}

// claimed: a purchase goes to the customer's other machine and back, while both send.
// Once a claim is answered the machine that the purchase left is cut off, and all that
// passed is debited once.
func claimed(ctx context.Context, s *scene, row *report.Row) error {
	if err := s.lost(row); err != nil {
		return err
	}
	before, err := s.Agent.Session(s.bought.ID)
	if err != nil {
		return err
	}
	machines, err := s.machines(ctx)
	if err != nil {
		return err
	}
	for i := range s.o.Pick(6, 40) {
		if err := s.claim(ctx, machines[i%2], machines[(i+1)%2], row); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	var wire uint64
	for _, m := range machines {
		ended := m.End()
		count, err := m.wire.Read()
		if err := errors.Join(ended, err); err != nil {
			return err
		}
		wire += count.Bytes
	}
	after, err := s.Agent.Session(s.bought.ID)
	off := int64(after.DataUsedBytes-before.DataUsedBytes) - int64(wire)
	row.Bytes = report.Zero(row.Bytes.Value + max(off, -off))
	return err
}

// machines both send.
func (s *scene) machines(ctx context.Context) (all []*machine, err error) {
	for i, h := range []*lab.Host{s.customer, s.other} {
		m := &machine{Host: h}
		if m.wire, err = s.Kiosk.Server.Count(lab.Ingress, lab.Uplink, "ip saddr "+h.Addr4.String()); err != nil {
			return all, err
		}
		if m.Flow, err = s.send(ctx, h, s.Kiosk.Server, uint16(claimPorts+i)); err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, all[0].Await(ctx, 1)
}

// claim takes the purchase from one machine to another.
func (s *scene) claim(ctx context.Context, from, to *machine, row *report.Row) error {
	started, before := time.Now(), to.Arrived()
	if _, err := s.Agent.Run("session", "claim", s.bought.Claim, "--device", to.MAC.String()); err != nil {
		return err
	}
	cut, err := from.wire.Read()
	if err != nil {
		return err
	}
	if err := to.Await(ctx, before+20); err != nil {
		return err
	}
	row.Recovery = max(row.Recovery, time.Since(started))
	late, err := from.wire.Read()
	row.Unpaid = report.Zero(row.Unpaid.Value + int64(late.Packets-cut.Packets))
	return err
}
