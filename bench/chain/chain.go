// SPDX-License-Identifier: Apache-2.0

// Package chain measures what a customer notices when one session ends and the next
// one that was bought begins: by the time stamps and numbers of packets.
package chain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	study       = "chain"
	port        = 9000
	packetBytes = 250
	perSecond   = 2000 // packets, each way
	streamBits  = perSecond * packetBytes * 8
	goalGap     = 10 * time.Millisecond
	boundGap    = 500 * time.Millisecond
	patience    = 20 * time.Second
)

// purchase is what the customer buys several times at once.
type purchase struct {
	name    string
	session map[string]any
	times   int
	goal    *report.Limit // of the gap, in ms
}

func purchases(scale report.Scale) []purchase {
	data, seconds := 5, 2
	if scale > report.Quick {
		data, seconds = 40, 8
	}
	return []purchase{
		// Both ways together use up one in 0.3 s.
		{"data", map[string]any{"type": "data", "data_bytes": 2 * perSecond * packetBytes * 3 / 10}, data,
			report.AtMost(goalGap.Seconds() * 1000)},
		{"time", map[string]any{"type": "time", "time_secs": 1}, seconds, report.AtMost(0)},
	}
}

// Run measures chaining.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) error {
	for _, p := range purchases(scale) {
		if err := p.measure(ctx, agent, out); err != nil {
			return fmt.Errorf("%s sessions: %w", p.name, err)
		}
	}
	return nil
}

func (p purchase) measure(ctx context.Context, binary string, out *report.Report) (err error) {
	l, err := lab.New("hs-chain")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	k, err := l.Kiosk(lab.KioskConfig{Customers: 1})
	if err != nil {
		return err
	}
	agent, err := harness.New(k, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Close()) }()
	if err := errors.Join(agent.Start(), agent.RaisePriority()); err != nil {
		return err
	}
	streams, err := p.play(ctx, k, agent)
	if err != nil {
		return err
	}
	p.report(streams, out)
	return nil
}

// play buys the sessions, and one more that the chain ends on, and sends both ways
// until that one runs. It returns the stamps of what arrived, each way.
func (p purchase) play(ctx context.Context, k *lab.Kiosk, agent *harness.Agent) (streams [][]lab.Stamp, err error) {
	api := agent.API()
	defer api.Close()
	device := k.Customers[0].MAC.String()
	for range p.times {
		if _, err := buy(ctx, api, device, p.session); err != nil {
			return nil, err
		}
	}
	last, err := buy(ctx, api, device, map[string]any{"type": "time", "time_secs": 3600})
	if err != nil {
		return nil, err
	}
	if err := api.Call(ctx, "POST", "/devices/"+device+"/connect", nil, nil); err != nil {
		return nil, err
	}
	stop, sinks, err := send(ctx, k)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waited := running(waiting, api, last.ID)
	if waited == nil {
		waited = flowed(waiting, sinks)
	}
	if err := errors.Join(stop(), waited); err != nil {
		return nil, err
	}
	for _, s := range sinks {
		streams = append(streams, s.Stamps())
	}
	return streams, nil
}

func buy(ctx context.Context, api *harness.API, device string, session map[string]any) (s harness.Session, err error) {
	body := map[string]any{"device": device}
	for key, value := range session {
		body[key] = value
	}
	return s, api.Call(ctx, "POST", "/sessions", body, &s)
}

// running waits for a session to run. A process for each look would disturb the streams.
func running(ctx context.Context, api *harness.API, id int64) error {
	const look = 20 * time.Millisecond
	for {
		var s harness.Session
		if err := api.Call(ctx, "GET", fmt.Sprintf("/sessions/%d", id), nil, &s); err != nil || s.State == "running" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("session %d is %s, not running: %w", id, s.State, ctx.Err())
		case <-time.After(look):
		}
	}
}

// send starts a stream each way, with its sink.
func send(ctx context.Context, k *lab.Kiosk) (stop func() error, sinks []*lab.Sink, err error) {
	customer := k.Customers[0]
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	stop = func() (err error) {
		cancel()
		sending.Wait()
		for _, s := range sinks {
			err = errors.Join(err, s.Close())
		}
		return err
	}
	for _, way := range [][2]*lab.Host{{customer, k.Server}, {k.Server, customer}} {
		from, to := way[0], way[1]
		sink, err := to.Sink("udp4", port)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		sink.Keep()
		sinks = append(sinks, sink)
		sending.Go(func() {
			_, _ = from.Blast(ctx, netip.AddrPortFrom(to.Addr4, port), streamBits, packetBytes) // an error is a gap
		})
	}
	return stop, sinks, nil
}

// flowed waits until more packets have arrived everywhere.
func flowed(ctx context.Context, sinks []*lab.Sink) error {
	const more = perSecond / 10
	for _, s := range sinks {
		for before := s.Read().Packets; s.Read().Packets < before+more; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				return fmt.Errorf("the last session lets nothing through: %w", ctx.Err())
			}
		}
	}
	return nil
}

// gap is an interruption: packets that did not arrive, and the time without them.
type gap struct {
	lost uint64
	took time.Duration // beyond the stream's pace
}

// gaps finds the interruptions of a stream. The network of a lab loses nothing.
func gaps(stamps []lab.Stamp) (all []gap) {
	const pace = time.Second / perSecond
	for i := 1; i < len(stamps); i++ {
		if lost := stamps[i].Sequence - stamps[i-1].Sequence - 1; lost > 0 {
			all = append(all, gap{lost, stamps[i].At - stamps[i-1].At - pace})
		}
	}
	return all
}

func (p purchase) report(streams [][]lab.Stamp, out *report.Report) {
	var took []float64
	var lost uint64
	for _, s := range streams {
		for _, g := range gaps(s) {
			took = append(took, max(0, g.took.Seconds()*1000))
			lost += g.lost
		}
	}
	interruptions := float64(len(took))
	if len(took) == 0 {
		took = []float64{0}
	}
	slices.Sort(took)
	cell := fmt.Sprintf("%d changes, %d packets/s each way", p.times, perSecond)
	row := func(metric string, value float64, unit string) report.Row {
		return report.Row{Study: study, Cell: cell, Subject: p.name + " sessions", Metric: metric, Value: value, Unit: unit}
	}
	middle, longest := row("gap, median", took[len(took)/2], "ms"), row("gap, longest", took[len(took)-1], "ms")
	middle.Goal, longest.Goal, middle.Bound = p.goal, p.goal, report.AtMost(boundGap.Seconds()*1000)
	out.Add(middle, longest, row("interruptions, both ways", interruptions, ""),
		row("packets lost a change and way", float64(lost)/float64(p.times)/float64(len(streams)), ""))
}
