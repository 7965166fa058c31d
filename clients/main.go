// SPDX-License-Identifier: Apache-2.0

// Command clients has programs that others wrote meet the agent: browsers, network managers,
// DHCP and DNS clients, before paying, on payment, at the end of the balance and after a
// reboot of the router. It prints what was wanted and what was seen, and exits with status 1
// when they differ. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/machine"
)

var version = "unknown" // set by the linker

func main() {
	o := report.Options{Say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	only := flag.String("only", "", "these studies only, comma-separated: "+strings.Join(names(), ", "))
	out := flag.String("out", "clients-results", "the folder that the table and the figures are written to")
	flag.StringVar(&o.Agent, "agent", "bin/hotspot-agent", "the agent's binary")
	flag.StringVar(&o.Root, "root", "/var/cache/hotspot-agent/clients", "the clients' root, as hack/clients-root.sh makes it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o, *only, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
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

func run(ctx context.Context, o report.Options, only, out string) error {
	wanted := names()
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("study %q: want one of %s", name, strings.Join(names(), ", "))
		}
	}
	if _, err := os.Stat(filepath.Join(o.Root, "etc", "debian_version")); err != nil {
		return fmt.Errorf("the clients' root: %w: make it with hack/clients-root.sh %s", err, o.Root)
	}
	// Servers must not wait for a thread that the machine keeps waiting.
	runtime.GOMAXPROCS(16)
	here := machine.Read(version).String()
	rows, failed := meet(ctx, o, wanted)
	return errors.Join(failed, write(here, rows, out), verdict(rows), ctx.Err())
}

func meet(ctx context.Context, o report.Options, wanted []string) (rows []report.Row, failed error) {
	started := time.Now()
	for _, s := range studies {
		if !slices.Contains(wanted, s.name) || ctx.Err() != nil {
			continue
		}
		o.Say("== %s (%.0f s)", s.name, time.Since(started).Seconds())
		some, err := s.run(ctx, o)
		rows = append(rows, some...)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return rows, failed
}

// write writes the table to the screen and to a file, and the figures to another.
func write(where string, rows []report.Row, out string) (err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	lines, err := os.Create(filepath.Join(out, "clients.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lines.Close()) }()
	table, err := os.Create(filepath.Join(out, "clients.txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	screen := io.MultiWriter(os.Stdout, table)
	fmt.Fprintln(screen, where)
	return errors.Join(report.WriteTable(screen, rows), report.WriteLines(lines, rows))
}

func verdict(rows []report.Row) error {
	if n := report.Unmet(rows); n > 0 {
		return fmt.Errorf("%d of %d rows are not as wanted", n, len(rows))
	}
	return nil
}
