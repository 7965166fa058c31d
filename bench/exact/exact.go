// SPDX-License-Identifier: Apache-2.0

// Package exact checks at full speed what is promised of every byte: a session ends
// at its last one and all are counted, with flows both ways on all CPUs, while
// top-ups rewrite the rule.
package exact

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	study     = "exact"
	bulkPort  = 8080
	flows     = 4 // each way
	mtu       = 1500
	speedBits = 100_000_000_000 // the limiter works, and does not limit
	bought    = 500_000_000
	topUp     = 10_000_000 // a hundred a second are more than flows can use
	lastPart  = 200_000_000
	every     = 5 * time.Millisecond // a top-up
	patience  = 30 * time.Second
)

// Run measures exactness.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) error {
	// Top-ups must not wait for a thread that a flow occupies.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	toppedUp, limiters := 2*time.Second, []string{"fair"}
	offloads := map[string]lab.Offloads{"super-packets": lab.OffloadsInside}
	if scale > report.Quick {
		toppedUp, limiters = 5*time.Second, []string{"fair", "bucket"}
		offloads["single packets"] = lab.OffloadsOff
	}
	for name, o := range offloads {
		for _, limiter := range limiters {
			got, err := measure(ctx, o, agent, limiter, toppedUp)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", limiter, name, err)
			}
			got.report(fmt.Sprintf("%d flows each way, %s", flows, name), limiter, out)
		}
	}
	return nil
}

// outcome is what was bought, what the agent counted and what the cables carried.
type outcome struct {
	topUps     int
	during     time.Duration // the top-ups
	sold       harness.Session
	toppedUp   harness.Session // after the last top-up
	end        harness.Session
	carried    lab.Count
	framesLost uint64 // by the cables
}

func measure(ctx context.Context, o lab.Offloads, binary, limiter string, toppedUp time.Duration) (got outcome, err error) {
	l, err := lab.New("hs-exact")
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	k, err := l.Kiosk(lab.KioskConfig{Customers: 1, Offloads: o})
	if err != nil {
		return got, err
	}
	agent, err := harness.New(k, binary, "limiter: "+limiter)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, agent.Close()) }()
	if err := errors.Join(agent.Start(), agent.RaisePriority()); err != nil {
		return got, err
	}
	stop, err := k.Server.ServeBulk(bulkPort)
	if err != nil {
		return got, err
	}
	defer stop()
	return play(ctx, k, agent, toppedUp)
}

// play sells a session, uses it at full speed, tops it up meanwhile, and sees its end.
func play(ctx context.Context, k *lab.Kiosk, agent *harness.Agent, toppedUp time.Duration) (got outcome, err error) {
	wire, err := k.Wire(0)
	if err != nil {
		return got, err
	}
	api := agent.API()
	defer api.Close()
	device := k.Customers[0].MAC.String()
	session := map[string]any{"device": device, "type": "data", "data_bytes": bought, "down_bps": speedBits, "up_bps": speedBits}
	if err := api.Call(ctx, "POST", "/sessions", session, &got.sold); err != nil {
		return got, err
	}
	if err := api.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil); err != nil {
		return got, err
	}
	transfer, err := k.Customers[0].Transfer(netip.AddrPortFrom(k.Server.Addr4, bulkPort), flows, flows)
	if err != nil {
		return got, err
	}
	defer transfer.Stop()
	if err := got.topUpFor(ctx, api, toppedUp); err != nil {
		return got, err
	}
	return got, got.seeEnd(ctx, k, agent, api, wire)
}

// topUpFor tops up from several clients: one alone waits for the disk each time.
func (got *outcome) topUpFor(ctx context.Context, api *harness.API, toppedUp time.Duration) error {
	const clients = 8
	started := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	counts, failed := make([]int, clients), make([]error, clients)
	var topping sync.WaitGroup
	for c := range clients {
		topping.Go(func() {
			for time.Since(started) < toppedUp && failed[c] == nil {
				<-tick.C
				failed[c] = patch(ctx, api, got.sold.ID, "add_data_bytes", topUp)
				counts[c]++
			}
		})
	}
	topping.Wait()
	got.during = time.Since(started)
	for _, n := range counts {
		got.topUps += n
	}
	return errors.Join(failed...)
}

func patch(ctx context.Context, api *harness.API, id int64, field string, value uint64) error {
	return api.Call(ctx, "PATCH", fmt.Sprintf("/sessions/%d", id), map[string]any{field: value}, nil)
}

// seeEnd reduces the session, so that it ends soon, and waits for its end.
func (got *outcome) seeEnd(ctx context.Context, k *lab.Kiosk, agent *harness.Agent, api *harness.API, wire *lab.Wire) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if got.toppedUp, err = agent.Session(got.sold.ID); err != nil {
		return err
	}
	if got.toppedUp.RemainingBytes > lastPart {
		if err = patch(ctx, api, got.sold.ID, "data_bytes", got.toppedUp.DataUsedBytes+lastPart); err != nil {
			return err
		}
	}
	if _, err = agent.WaitState(ctx, got.sold.ID, "consumed"); err != nil {
		return err
	}
	if got.carried, err = settled(ctx, wire); err != nil {
		return err
	}
	if got.end, err = agent.Session(got.sold.ID); err != nil {
		return err
	}
	got.framesLost, err = k.Lost()
	return err
}

// settled waits until the cables carry no more.
func settled(ctx context.Context, wire *lab.Wire) (lab.Count, error) {
	var last lab.Count
	for since := time.Now(); ; {
		down, up, err := wire.Read()
		if err != nil {
			return last, err
		}
		if all := down.Add(up); all != last {
			last, since = all, time.Now()
		}
		if time.Since(since) > lab.Silence {
			return last, nil
		}
		if ctx.Err() != nil {
			return last, fmt.Errorf("the cables carry on after the end: %w", ctx.Err())
		}
	}
}

// report has the promises as bounds: they hold on any machine.
func (got *outcome) report(cell, subject string, out *report.Report) {
	row := func(metric string, value float64, unit string, limit *report.Limit) report.Row {
		return report.Row{Study: study, Cell: cell, Subject: subject, Metric: metric, Value: value, Unit: unit, Goal: limit, Bound: limit}
	}
	between := func(a, b uint64) float64 { return float64(int64(a - b)) }
	apart := func(a, b uint64) float64 { return between(max(a, b), min(a, b)) }
	perSecond := row("top-ups", float64(got.topUps)/got.during.Seconds(), "/s", report.AtLeast(100))
	perSecond.Bound = nil // a busy machine makes no promise of speed
	out.Add(
		row("beyond what was bought", between(got.carried.Bytes, got.end.DataBytes), "B", report.AtMost(0)),
		row("bought and not used", between(got.end.DataBytes, got.end.DataUsedBytes), "B", report.AtMost(mtu-1)),
		row("miscounted", apart(got.carried.Bytes, got.end.DataUsedBytes), "B", report.AtMost(float64(got.framesLost*mtu))), // counted before they were lost
		row("top-ups miscounted", apart(bought+uint64(got.topUps)*topUp, got.toppedUp.DataBytes), "B", report.AtMost(0)),
		row("frames lost by the lab", float64(got.framesLost), "", nil),
		row("used", float64(got.end.DataUsedBytes)/1e6, "MB", nil),
		perSecond,
	)
}
