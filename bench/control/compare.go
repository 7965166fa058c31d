// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/source"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	compared = 300 // customers of a round
	// idle is how long a daemon is left alone before its CPU time is read: work that
	// follows a connect, such as the sync of the disk, belongs to it.
	idle = 300 * time.Millisecond
)

// Compare measures the CPU time of a connect through the socket, in the agent and in
// another revision of it. Both are compiled alike, and measured in turns.
func Compare(ctx context.Context, scale report.Scale, revision string, out *report.Report) (err error) {
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := source.Root(ctx)
	if err != nil {
		return err
	}
	old := filepath.Join(dir, "source")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := source.Extract(ctx, root, revision, old); err != nil {
		return err
	}
	subjects := []string{revision, "agent"}
	binaries := []string{filepath.Join(dir, "old"), filepath.Join(dir, "new")}
	for i, from := range []string{old, root} {
		if err := compile(ctx, from, binaries[i]); err != nil {
			return err
		}
	}
	spent := make([][]float64, len(subjects)) // microseconds of each round
	rounds := map[report.Scale]int{report.Quick: 3, report.Sampled: 9, report.Full: 25}[scale]
	for range rounds {
		for i, binary := range binaries {
			cpu, err := cpuOfConnect(ctx, binary)
			if err != nil {
				return fmt.Errorf("%s: %w", subjects[i], err)
			}
			spent[i] = append(spent[i], cpu.Seconds()*1e6)
		}
	}
	r := recorder{out}
	cell := fmt.Sprintf("%d customers, one by one, %d rounds", compared, rounds)
	for i, subject := range subjects {
		slices.Sort(spent[i])
		out.Say("%s: %.0f µs of CPU for a connect, rounds %.0f", subject, spent[i][rounds/2], spent[i])
		r.add(cell, subject, "CPU of a connect", "µs", spent[i][rounds/2], nil, nil)
	}
	out.Add(report.Row{Study: study, Cell: cell, Subject: "agent", Metric: "CPU of a connect", Versus: revision,
		Value: spent[1][rounds/2] / spent[0][rounds/2], Goal: report.AtMost(0.6)})
	return nil
}

// compile builds an agent from the sources in a folder.
func compile(ctx context.Context, from, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/hotspot-agent")
	cmd.Dir = from
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the agent in %s: %w\n%s", from, err, out)
	}
	return nil
}

// cpuOfConnect returns the CPU time of a daemon per connect. The customers
// connected once before.
func cpuOfConnect(ctx context.Context, binary string) (cpu time.Duration, err error) {
	f, err := newFixture(binary, 1, 4096, time.Minute)
	if err != nil {
		return 0, err
	}
	defer func() { err = closing(f, err) }()
	p := &population{fixture: f}
	if err := p.arrive(ctx, compared); err != nil {
		return 0, err
	}
	for n := range compared {
		if err := f.api.disconnect(ctx, mac(n)); err != nil {
			return 0, err
		}
	}
	if err := wait.For(ctx, idle); err != nil {
		return 0, err
	}
	before, err := f.process().cpu()
	if err != nil {
		return 0, err
	}
	for n := range compared {
		if err := f.api.connect(ctx, mac(n)); err != nil {
			return 0, err
		}
	}
	if err := wait.For(ctx, idle); err != nil {
		return 0, err
	}
	after, err := f.process().cpu()
	return (after - before) / compared, err
}
