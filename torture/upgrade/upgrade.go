// SPDX-License-Identifier: Apache-2.0

// Package upgrade has one version of the agent take over from another, forth and back,
// under traffic.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// rebuilt is how long customers may be without rules where the layout differs: new
// programs with new maps are on the hooks, and the rules are restored from the store.
const rebuilt = 5 * time.Second

// version is an agent, and the limiter in its configuration: another one has other
// programs.
type version struct{ binary, limiter string }

// Run measures both kinds of upgrade.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	dir, err := os.MkdirTemp("", "hs-upgrade-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	changed, err := build(ctx, o.Agent, dir, otherProgram)
	if err != nil {
		return nil, err
	}
	moved, err := build(ctx, o.Agent, dir, otherLayout)
	if err != nil {
		return nil, err
	}
	same := []version{{o.Agent, "fair"}, {changed, "fair"}, {changed, "bucket"}}
	row, err := take(ctx, o, "upgrade, downgrade", o.Pick(3, 30), same, false)
	if err != nil {
		return nil, err
	}
	other, err := take(ctx, o, "upgrade, downgrade: another layout", o.Pick(2, 20), []version{{o.Agent, "fair"}, {moved, "fair"}}, true)
	return []report.Row{row, other}, err
}

// take goes through versions in turn.
func take(ctx context.Context, o report.Options, name string, runs int, versions []version, another bool) (row report.Row, err error) {
	k, err := open(ctx, o)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	row = report.Row{Fault: name, Runs: runs}
	random := rand.New(rand.NewPCG(o.Seed, 6))
	var bought []int64
	for run := range runs {
		kill := random.IntN(2) == 0
		if err := errors.Join(ctx.Err(), k.become(ctx, versions[(run+1)%len(versions)], kill)); err != nil {
			return row, fmt.Errorf("%s, run %d, killed %v: %w\n%s", name, run+1, kill, err, k.Agent.Log())
		}
		s, err := k.Agent.Buy(k.mac(unpaidCustomer), "--type", "data", "--data", "1MB")
		if err != nil {
			return row, err
		}
		bought = append(bought, s.ID)
	}
	if err := k.judge(ctx, &row, bought, another); err != nil {
		return row, err
	}
	if strings.Contains(k.Agent.Log(), "DATA RACE") {
		row.Failures = append(row.Failures, "the agent has a data race")
	}
	if len(row.Broken()) > 0 {
		o.Say("the agent's log:\n%s", k.Agent.Log())
	}
	return row, nil
}

// judge compares what was sent, what arrived, and what the balance says.
func (k *kiosk) judge(ctx context.Context, row *report.Row, bought []int64, another bool) error {
	var sent, lost int64
	for _, f := range k.flows {
		s, l, err := f.Lost()
		if err != nil {
			return err
		}
		sent, lost = sent+s, lost+l
		row.Recovery = max(row.Recovery, f.LongestPause())
	}
	if another {
		row.Most = rebuilt
		row.Notes = append(row.Notes, fmt.Sprintf("%d of %d packets came while new maps had no rules", lost, sent))
	} else {
		row.Packets = report.Zero(lost)
		row.Notes = append(row.Notes, fmt.Sprintf("%d packets sent; recovery is the longest pause between two", sent))
	}
	counted, err := k.Agent.Session(k.session.ID)
	if err != nil {
		return err
	}
	down, up, err := k.wire.Read()
	if err != nil {
		return err
	}
	off := int64(counted.DataUsedBytes) - int64(down.Bytes+up.Bytes)
	row.Bytes = report.Zero(max(off, -off))
	if elapsed := time.Since(k.since).Seconds(); float64(counted.TimeUsedSecs) > elapsed+1 {
		row.Failures = append(row.Failures, fmt.Sprintf("%d s were charged in %.1f s", counted.TimeUsedSecs, elapsed))
	}
	missing := int64(0)
	for _, id := range bought {
		if s, err := k.Agent.Session(id); err != nil || s.DataBytes != 1_000_000 {
			missing++
		}
	}
	row.Purchases = report.Zero(missing)
	unpaid, err := k.unpaid.Passed(ctx, func() error { _, err := k.Agent.Connect(k.mac(unpaidCustomer)); return err })
	row.Unpaid = report.Zero(unpaid)
	return err
}
