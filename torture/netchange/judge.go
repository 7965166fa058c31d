// SPDX-License-Identifier: Apache-2.0

package netchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/fixture"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// make makes a change and waits until customers have their traffic back and unpaid devices
// have none.
func (t *trial) make(ctx context.Context, c change) error {
	before, slipped := lab.Boottime(), t.unpaidArrived()
	if err := c.do(t); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if err := t.flowing(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	t.row.Runs++
	if c.exposes {
		t.risky++
	}
	n := t.unpaidArrived()
	t.slipped += int64(n - slipped)
	if n > slipped {
		t.opened++
	}
	open := t.unpaidSince(before)
	t.open += open
	t.row.Recovery = max(t.row.Recovery, open)
	return nil
}

// flowing waits until a number of packets of paying customers arrived both ways while
// none of the other one did.
func (t *trial) flowing(ctx context.Context) error {
	const packets = 50
	var from []uint64
	var unpaid uint64
	return wait.Until(ctx, "traffic of paying customers only", func() (bool, error) {
		now := t.paidArrived()
		if n := t.unpaidArrived(); from == nil || n != unpaid {
			from, unpaid = now, n
			return false, nil
		}
		for i := range now {
			if now[i] < from[i]+packets {
				return false, nil
			}
		}
		return true, nil
	})
}

func (t *trial) paidArrived() (each []uint64) {
	for _, c := range t.customers[:paid] {
		each = append(each, c.up.Arrived(), c.down.Arrived())
	}
	return each
}

func (t *trial) unpaidArrived() uint64 {
	c := t.customers[paid]
	return c.up.Arrived() + c.down.Arrived()
}

// letIn sells to the unpaid customer. The packets of the same flows must arrive from now
// on: that few did before would prove nothing else.
func (t *trial) letIn(ctx context.Context) error {
	c := t.customers[paid]
	if t.tried = c.up.Sent() + c.down.Sent(); t.tried == 0 {
		return errors.New("nothing was sent unpaid")
	}
	if err := t.sell(ctx, c); err != nil {
		return err
	}
	up, down := c.up.Arrived(), c.down.Arrived()
	return wait.Until(ctx, "packets both ways of the customer that paid last", func() (bool, error) {
		return c.up.Arrived() > up && c.down.Arrived() > down, nil
	})
}

// unpaidSince is the time between the first and the last unpaid packet after a given time.
func (t *trial) unpaidSince(since time.Duration) time.Duration {
	first, last := time.Duration(1<<63-1), time.Duration(0)
	for _, f := range []*fixture.Flow{t.customers[paid].up, t.customers[paid].down} {
		for _, s := range f.Sink.Stamps() {
			if s.At >= since {
				first, last = min(first, s.At), max(last, s.At)
			}
		}
	}
	if last == 0 {
		return 0
	}
	return last - first + fixture.SendInterval
}

// judge compares the counts once all packets have arrived.
func (t *trial) judge(ctx context.Context, g group) (report.Row, error) {
	row := t.row
	perSecond := int64(within / fixture.SendInterval) // of each flow
	row.Most = within
	row.Unpaid = report.AtMost(t.slipped, 2*perSecond*int64(t.risky))
	var uncharged, lost int64
	for _, c := range t.customers[:paid] {
		delivered := int64(c.up.Sink.Read().Bytes + c.down.Sink.Read().Bytes)
		forwarded, err := c.forwarded.Read()
		if err != nil {
			return row, err
		}
		used, err := t.used(ctx, c)
		if err != nil {
			return row, err
		}
		if used > int64(forwarded.Bytes) {
			row.Failures = append(row.Failures, fmt.Sprintf("%s was charged %d bytes, and the router forwarded %d", c.host.Name, used, forwarded.Bytes))
		}
		uncharged += max(0, delivered-used)
		lost += c.up.Lost() + c.down.Lost()
	}
	row.Bytes = report.AtMost(uncharged, 2*paid*ipBytes*perSecond*int64(t.risky))
	if !g.lossy {
		row.Packets = report.Zero(lost)
	}
	reported, err := t.reported(ctx)
	if err != nil {
		return row, err
	}
	row.Failures = append(row.Failures, reported.broken(t.opened, t.open)...)
	row.Notes = append(row.Notes, fmt.Sprintf("of %d unpaid packets some passed %d times, for %d ms in all; the agent says %d ms",
		t.tried, t.opened, t.open.Milliseconds(), reported.ms))
	return row, nil
}

// used is what the agent charged a session, which must run still.
func (t *trial) used(ctx context.Context, c *customer) (int64, error) {
	var s struct {
		State string
		Used  int64 `json:"data_used_bytes"`
	}
	err := t.API.Call(ctx, "GET", fmt.Sprintf("/sessions/%d", c.session), nil, &s)
	if err == nil && s.State != "running" {
		err = fmt.Errorf("the session of %s is %s", c.host.Name, s.State)
	}
	return s.Used, err
}

// reported is the unprotected time of the interface as the agent reports it.
type reported struct {
	begun, over int
	ms          int64 // by the events
	statusMS    int64 // by its status
}

func (t *trial) reported(ctx context.Context) (all reported, err error) {
	var status struct {
		Interfaces []struct {
			UnprotectedMS int64 `json:"unprotected_ms"`
		}
	}
	if err := t.API.Call(ctx, "GET", "/status", nil, &status); err != nil {
		return all, err
	}
	all.statusMS = status.Interfaces[0].UnprotectedMS
	var bad error
	_ = t.API.Lines(ctx, "/events?follow=false", func(line []byte) bool { // it ends with the last event
		var e struct {
			Type, Interface string
			DurationMS      int64 `json:"duration_ms"`
		}
		bad = json.Unmarshal(line, &e)
		if e.Interface == lab.Bridge && e.Type == "interface.unprotected" {
			all.begun++
		}
		if e.Interface == lab.Bridge && e.Type == "interface.protected" {
			all.over++
			all.ms += e.DurationMS
		}
		return bad == nil
	})
	return all, bad
}

// hearsLate is how long a busy machine may keep the agent from hearing of a change.
const hearsLate = 100 * time.Millisecond

// broken: each exposure has its events, and lasted as long as they say.
func (a reported) broken(opened int, open time.Duration) (broken []string) {
	if a.begun != a.over || a.over < opened {
		broken = append(broken, fmt.Sprintf("the network was open %d times, %d events of a beginning, %d of an end", opened, a.begun, a.over))
	}
	if least := open - time.Duration(opened)*hearsLate; time.Duration(a.ms)*time.Millisecond < least {
		broken = append(broken, fmt.Sprintf("unpaid packets passed for %s, the agent reports %d ms", open, a.ms))
	}
	if a.statusMS > a.ms || a.statusMS < a.ms-int64(a.over) {
		broken = append(broken, fmt.Sprintf("the events report %d ms, the status of %d", a.ms, a.statusMS))
	}
	return broken
}
