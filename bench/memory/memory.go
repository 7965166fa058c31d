// SPDX-License-Identifier: Apache-2.0

// Package memory measures what the agent occupies in the kernel and in its own
// process, as customers connect, and as room is made for more of them.
package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const study = "memory"

// Run measures memory, with the limiter that takes most of it.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) error {
	rooms, connected := []int{100, 1_000_000}, []int{1, 500}
	if scale > report.Quick {
		rooms, connected = []int{100, 4096, 100_000, 1_000_000}, []int{1, 500, 1000, 10_000}
	}
	for _, room := range rooms {
		if err := measureRoom(ctx, agent, room, out); err != nil {
			return fmt.Errorf("max_clients %d: %w", room, err)
		}
	}
	return measureConnected(ctx, agent, connected, out)
}

// started is a daemon that has just started.
func started(binary string, maxClients int) (agent *harness.Agent, stop func() error, err error) {
	l, err := lab.New("hs-memory")
	if err != nil {
		return nil, nil, err
	}
	k, err := l.Kiosk(lab.KioskConfig{Customers: 1})
	if err == nil {
		agent, err = harness.New(k, binary, fmt.Sprintf("max_clients: %d", maxClients))
	}
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	stop = func() error { return errors.Join(agent.Close(), l.Close()) }
	if err := agent.Start(); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return agent, stop, nil
}

// measureRoom is the memory of the tables without customers.
func measureRoom(ctx context.Context, binary string, room int, out *report.Report) (err error) {
	since := time.Now()
	agent, stop, err := started(binary, room)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(), ctx.Err()) }()
	took := time.Since(since)
	used, err := agent.Memory()
	if err != nil {
		return err
	}
	cell := fmt.Sprintf("max_clients %d, none connected", room)
	add(out, cell, used, report.Row{Metric: "start", Value: took.Seconds(), Unit: "s"})
	return nil
}

// measureConnected is the memory of connected customers.
func measureConnected(ctx context.Context, binary string, connected []int, out *report.Report) (err error) {
	most := connected[len(connected)-1]
	agent, stop, err := started(binary, most)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	first, err := agent.Memory()
	if err != nil {
		return err
	}
	var devices []string
	for i := range most {
		devices = append(devices, lab.EmulatedMAC(i).String())
	}
	session := map[string]any{
		"type": "time_or_data", "time_secs": 86400, "data_bytes": uint64(1e12),
		"down_bps": uint64(10e6), "up_bps": uint64(10e6),
	}
	done := 0
	for _, n := range connected {
		if err := agent.ConnectAll(ctx, devices[done:n], session); err != nil {
			return err
		}
		done = n
		used, err := agent.Memory()
		if err != nil {
			return err
		}
		rows := []report.Row{each("kernel for one connected", used.Kernel, first.Kernel, n)}
		if n == most { // of few, it is what the daemon would use anyway
			rows = append(rows, each("process for one connected", used.Resident, first.Resident, n))
		}
		add(out, fmt.Sprintf("max_clients %d, %d connected", most, n), used, rows...)
	}
	return nil
}

// each is the share of one of n in what has been added.
func each(metric string, now, before uint64, n int) report.Row {
	return report.Row{Metric: metric, Value: float64(int64(now-before)) / float64(n), Unit: "B"}
}

func add(out *report.Report, cell string, used harness.Memory, more ...report.Row) {
	const mib = 1 << 20
	more = append(more,
		report.Row{Metric: "kernel", Value: float64(used.Kernel) / mib, Unit: "MiB"},
		report.Row{Metric: "process", Value: float64(used.Resident) / mib, Unit: "MiB"},
	)
	for _, row := range more {
		row.Study, row.Cell, row.Subject = study, cell, "agent"
		out.Add(row)
	}
}
