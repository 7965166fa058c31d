// SPDX-License-Identifier: Apache-2.0

// Command bench measures the agent next to its rivals, all in one run, in labs of
// network namespaces. It prints a table, writes each figure as a JSON line, and
// draws plots. It ends with status 1 when a figure is beyond its bound. It needs root.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/callpath"
	"github.com/hotspot-agent/hotspot-agent/bench/captive"
	"github.com/hotspot-agent/hotspot-agent/bench/chain"
	"github.com/hotspot-agent/hotspot-agent/bench/control"
	"github.com/hotspot-agent/hotspot-agent/bench/cost"
	"github.com/hotspot-agent/hotspot-agent/bench/exact"
	"github.com/hotspot-agent/hotspot-agent/bench/forward"
	"github.com/hotspot-agent/hotspot-agent/bench/limiter"
	"github.com/hotspot-agent/hotspot-agent/bench/memory"
	"github.com/hotspot-agent/hotspot-agent/bench/plot"
	"github.com/hotspot-agent/hotspot-agent/bench/report"
	"github.com/hotspot-agent/hotspot-agent/internal/machine"
)

var version = "unknown" // set by the linker

// study is one part of the benchmark. Studies run one after another: each has the
// machine for itself.
type study struct {
	name string
	run  func(context.Context, options, *report.Report) error
	// onlyNamed studies are not part of a run that names none.
	onlyNamed bool
}

// studies is every part, in the order of a run.
var studies = []study{
	{name: "limiter", run: func(ctx context.Context, o options, r *report.Report) error {
		return limiter.Run(ctx, limiter.Options{Scale: o.scale, Agent: o.agent, Cells: o.cells, Subjects: o.subjects}, r)
	}},
	{name: "cost", run: func(ctx context.Context, o options, r *report.Report) error {
		return cost.Run(ctx, o.scale, r)
	}},
	{name: "forward", run: func(ctx context.Context, o options, r *report.Report) error {
		return forward.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "exact", run: func(ctx context.Context, o options, r *report.Report) error {
		return exact.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "chain", run: func(ctx context.Context, o options, r *report.Report) error {
		return chain.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "captive", run: func(ctx context.Context, o options, r *report.Report) error {
		return captive.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "control", run: func(ctx context.Context, o options, r *report.Report) error {
		if o.base != "" {
			return control.Compare(ctx, o.scale, o.base, r)
		}
		return control.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "memory", run: func(ctx context.Context, o options, r *report.Report) error {
		return memory.Run(ctx, o.scale, o.agent, r)
	}},
	{name: "callpath", onlyNamed: true, run: func(ctx context.Context, o options, r *report.Report) error {
		return callpath.Run(ctx, o.base, o.out, r)
	}},
}

// options are the arguments of the studies.
type options struct {
	scale report.Scale
	agent string // the agent's binary
	base  string // a revision to compare the agent with, or ""
	out   string // the folder of the results
	// Parts of the limiter study, all where they are empty.
	cells    *regexp.Regexp
	subjects []string
}

func main() {
	var o options
	scale := flag.String("scale", "sampled", "how much is measured: quick, sampled or full")
	only := flag.String("only", "", "measure these studies only, comma-separated: "+strings.Join(names(), ", "))
	resume := flag.Bool("resume", false, "continue the limiter study of an interrupted run: its cells in OUT are not measured again")
	flag.StringVar(&o.out, "out", "bench-results", "the folder that the figures are written to")
	flag.StringVar(&o.base, "base", "", "compare with this Git revision of the agent: callpath counts in both, control measures only the CPU of a connect, of both")
	flag.StringVar(&o.agent, "agent", "bin/hotspot-agent", "the agent's binary")
	flag.Func("cells", "measure only the cells of the limiter whose name matches this expression", func(s string) (err error) {
		o.cells, err = regexp.Compile(s)
		return err
	})
	flag.Func("subjects", "measure only these subjects of the limiter, comma-separated: fair, bucket, htb", func(s string) error {
		o.subjects = strings.Split(s, ",")
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o, *scale, *only, *resume)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names() []string {
	var all []string
	for _, s := range studies {
		all = append(all, s.name)
	}
	return all
}

func run(ctx context.Context, o options, scale, only string, resume bool) (err error) {
	wanted, err := o.choose(scale, only)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var before []byte
	if resume {
		if before, err = os.ReadFile(filepath.Join(o.out, scale+".jsonl")); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	lines, err := os.Create(filepath.Join(o.out, scale+".jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lines.Close()) }()
	table, err := os.Create(filepath.Join(o.out, scale+".txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	r := report.New(lines, os.Stderr)
	machines, err := r.Resume("limiter", bytes.NewReader(before))
	if err != nil {
		return err
	}
	here := machine.Read(version)
	r.On(here)
	screen := io.MultiWriter(os.Stdout, table)
	for _, m := range append(machines, here) {
		fmt.Fprintln(screen, m)
	}
	err = measure(ctx, o, wanted, r, screen)
	return errors.Join(err, plot.Write(r.Rows(), o.out))
}

// choose sets the scale, and returns the studies that are wanted.
func (o *options) choose(scale, only string) (wanted []string, err error) {
	scales := []string{"quick", "sampled", "full"} // in the order of report.Scale
	index := slices.Index(scales, scale)
	if index < 0 {
		return nil, fmt.Errorf("scale %q: want one of %s", scale, strings.Join(scales, ", "))
	}
	o.scale = report.Scale(index)
	if only == "" {
		for _, s := range studies {
			if !s.onlyNamed {
				wanted = append(wanted, s.name)
			}
		}
		return wanted, nil
	}
	wanted = strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("study %q: want one of %s", name, strings.Join(names(), ", "))
		}
	}
	return wanted, nil
}

func measure(ctx context.Context, o options, wanted []string, r *report.Report, w io.Writer) error {
	started := time.Now()
	var failed error
	for _, s := range studies {
		if !slices.Contains(wanted, s.name) || ctx.Err() != nil {
			continue
		}
		r.Say("== %s (%.0f s)", s.name, time.Since(started).Seconds())
		if err := s.run(ctx, o, r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if err := errors.Join(r.WriteTable(w), r.Err(), failed, ctx.Err()); err != nil {
		return err
	}
	crossed := r.Crossed()
	for _, row := range crossed {
		fmt.Fprintf(w, "beyond its bound: %s %s of %s (%s): %v, bound %s\n",
			row.Study, row.Metric, row.Subject, row.Cell, row.Value, row.Bound)
	}
	if len(crossed) > 0 {
		return fmt.Errorf("%d figures are beyond their bound", len(crossed))
	}
	return nil
}
