// SPDX-License-Identifier: Apache-2.0

// Command torture injects the faults of a kiosk and of its network, and prints what each
// cost: one line for each fault. It exits with status 1 when a promise was broken. It
// needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/machine"
	"github.com/hotspot-agent/hotspot-agent/torture/powercut"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

var version = "unknown" // set by the linker

func main() {
	if os.Getpid() == 1 {
		powercut.Guest()
	}
	o := report.Options{Scale: report.Long, Say: say}
	short := flag.Bool("short", false, "a few runs of each fault only")
	only := flag.String("only", "", "these faults only, comma-separated: "+strings.Join(names(), ", "))
	out := flag.String("out", "torture-results", "the folder that the table and the figures are written to")
	flag.StringVar(&o.Agent, "agent", "bin/hotspot-agent", "the agent's binary")
	flag.Uint64Var(&o.Seed, "seed", 0, "try what a run with this seed tried (default: a new one)")
	flag.Parse()
	if *short {
		o.Scale = report.Short
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o, *only, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func names() []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	return all
}

func run(ctx context.Context, o report.Options, only, out string) error {
	wanted := names()
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("fault %q: want one of %s", name, strings.Join(names(), ", "))
		}
	}
	here := fmt.Sprintf("%s, seed %d", machine.Read(version), o.Seed)
	rows, failed := torture(ctx, o, wanted)
	return errors.Join(failed, write(here, rows, out), verdict(rows), ctx.Err())
}

func torture(ctx context.Context, o report.Options, wanted []string) (rows []report.Row, failed error) {
	started := time.Now()
	for _, f := range faults {
		if !slices.Contains(wanted, f.name) || ctx.Err() != nil {
			continue
		}
		o.Say("== %s (%.0f s)", f.name, time.Since(started).Seconds())
		some, err := f.run(ctx, o)
		rows = append(rows, some...)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.name, err))
		}
	}
	return rows, failed
}

// write writes the table to the screen and to a file, and the figures to another.
func write(where string, rows []report.Row, out string) (err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	lines, err := os.Create(filepath.Join(out, "torture.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lines.Close()) }()
	table, err := os.Create(filepath.Join(out, "torture.txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	screen := io.MultiWriter(os.Stdout, table)
	fmt.Fprintln(screen, where)
	return errors.Join(report.WriteTable(screen, rows), report.WriteLines(lines, rows))
}

func verdict(rows []report.Row) error {
	broken := 0
	for _, r := range rows {
		broken += len(r.Broken())
	}
	if broken > 0 {
		return fmt.Errorf("%d promises are broken", broken)
	}
	return nil
}
