// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// What DNS before paying may be: of all unpaid devices together, at once and in a second.
const (
	dnsBurstBytes     = 1 << 20
	dnsBytesPerSecond = 128_000
)

// promptly is how soon a new customer is let in after the floods.
const promptly = 5 * time.Second

// rows judges what was seen.
func (t *trial) rows(ctx context.Context) (rows []report.Row, err error) {
	for _, k := range kinds {
		rows = append(rows, t.row(k.name))
	}
	rows = append(rows, t.stormRow())
	memory, err := t.memoryRow(ctx)
	return append(rows, memory), err
}

// row is about a flood of frames.
func (t *trial) row(name string) report.Row {
	s := t.seen[name]
	var frames, dns uint64
	for _, p := range s.with {
		frames += p.frames
		dns += p.dns
	}
	ratio := speed(s.with) / speed(s.without)
	row := report.Row{
		Fault: "flood: " + name, Runs: t.rounds, Unpaid: report.Zero(int64(s.unpaid)),
		Notes: []string{
			fmt.Sprintf("%.0f k/s, each from a new MAC", float64(frames)/float64(t.rounds)/t.phase.Seconds()/1000),
			fmt.Sprintf("the customer keeps %.2f of what it has without an agent, %.2f of what it has at rest", ratio, speed(s.with)/speed(t.seen[atRest].with)),
		},
	}
	t.judge(&row, ratio)
	asked := honest(s.with)
	row.Notes = append(row.Notes, fmt.Sprintf("%s, without an agent %d of %d", asked, honest(s.without).answers, honest(s.without).questions))
	if slices.Contains(ofDNS, name) {
		t.judgeDNS(&row, dns)
	} else if !(asked.share() >= t.least) {
		row.Failures = append(row.Failures, fmt.Sprintf("%s, promised %v of them", asked, t.least))
	}
	return row
}

func (t *trial) judge(row *report.Row, ratio float64) {
	if !(ratio >= t.least) { // nor where nothing was measured
		row.Failures = append(row.Failures, fmt.Sprintf("the customer keeps %.3f of its speed, promised %v", ratio, t.least))
	}
}

// judgeDNS compares what the resolver got, from its start on, to what all unpaid devices may
// use. The share that is left to a device with few queries is reported, and not promised.
func (t *trial) judgeDNS(row *report.Row, passed uint64) {
	row.Notes = append(row.Notes, fmt.Sprintf("%.1f MB of queries passed", float64(passed)/1e6))
	all, since := t.dns, lab.Boottime()-t.with.started
	if most := dnsBurstBytes + uint64(since.Seconds()*dnsBytesPerSecond); all.Bytes > most {
		row.Failures = append(row.Failures, fmt.Sprintf("%d bytes of DNS passed in %v, promised at most %d", all.Bytes, since, most))
	}
}

func (t *trial) stormRow() report.Row {
	s := t.seen[storms]
	var times uint64
	for _, p := range s.with {
		times += p.frames
	}
	ratio := speed(s.with) / speed(t.seen[atRest].with)
	row := report.Row{Fault: "flood: " + storms, Runs: t.rounds, Notes: []string{
		fmt.Sprintf("%.0f connects and disconnects a second", float64(times)/float64(t.rounds)/t.phase.Seconds()),
		fmt.Sprintf("the customer keeps %.2f of what it has at rest", ratio),
	}}
	t.judge(&row, ratio)
	return row
}

// memoryRow is about what all floods together left behind.
func (t *trial) memoryRow(ctx context.Context) (report.Row, error) {
	bridge, err := t.with.kiosk.FDBEntries()
	if err != nil {
		return report.Row{}, err
	}
	row := report.Row{Fault: "flood: memory", Runs: 1, Notes: []string{
		fmt.Sprintf("%d MACs made up", t.with.macs),
		fmt.Sprintf("the agent's memory grew by %d KiB", (int64(t.after.Resident)-int64(t.before.Resident))>>10),
		fmt.Sprintf("the bridge knows %d MACs", bridge),
	}}
	if t.after.Resident > t.before.Resident+t.grown {
		row.Failures = append(row.Failures, fmt.Sprintf("the agent's memory grew from %d to %d bytes", t.before.Resident, t.after.Resident))
	}
	began := time.Now()
	if err := t.stillSells(ctx); err != nil {
		row.Failures = append(row.Failures, "after the floods: "+err.Error())
	}
	row.Recovery, row.Most = time.Since(began), promptly
	return row, nil
}

// stillSells sells to the flooding device: no table is full.
func (t *trial) stillSells(ctx context.Context) error {
	host := t.with.kiosk.Customers[1]
	if err := t.with.agent.ConnectAll(ctx, []string{host.MAC.String()}, session); err != nil {
		return err
	}
	const port, pings = 7, 3
	stop, err := t.with.kiosk.Server.ServeEcho(port)
	if err != nil {
		return err
	}
	defer stop()
	answered, err := host.Ping(netip.AddrPortFrom(t.with.kiosk.Server.Addr4, port), pings, time.Second)
	if err == nil && answered == 0 {
		err = errors.New("a new customer's packets do not pass")
	}
	return err
}
