// SPDX-License-Identifier: Apache-2.0

// Package provider has a session provider hang, die, lie, lose answers, forget and move,
// while its customer and others use the kiosk. Its own account is compared with what the
// wire carried.
package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/wait"
	"github.com/hotspot-agent/hotspot-agent/torture/flow"
	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

const (
	timeOut  = 2 * time.Second // that the first one waits for a provider that hangs
	quick    = 1 * time.Second // what any other Connect may take
	slack    = 1 * time.Second
	caughtUp = 20 * time.Second // after it is well again, until it knows all
)

var moods = []mood{hangs, dead, lies, loses, forgets, moves, alone}

// Run tries each mood.
func Run(ctx context.Context, o report.Options) (rows []report.Row, err error) {
	k, err := open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	s, err := openShop(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := k.send(ctx); err != nil {
		return nil, err
	}
	t := trial{kiosk: k, shop: s, row: report.Row{Fault: "session provider", Most: caughtUp}}
	for round := range o.Pick(1, 5) {
		for _, m := range moods {
			o.Say("round %d: the provider %s", round+1, m)
			if err := errors.Join(ctx.Err(), t.suffer(ctx, m)); err != nil {
				return nil, fmt.Errorf("the provider %s: %w\n%s", m, err, k.Agent.Log())
			}
		}
	}
	if err := t.judge(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, k.Agent.Log())
	}
	return []report.Row{t.row}, nil
}

// openShop is closed with the kiosk.
func openShop(ctx context.Context, k *kiosk) (*shop, error) {
	dir, err := os.MkdirTemp("", "hs-shop-")
	if err != nil {
		return nil, err
	}
	k.OnClose(func() error { return os.RemoveAll(dir) })
	s := &shop{dir: dir, guest: k.mac(guest), sold: time.Now().UTC().Truncate(time.Second), mood: well}
	if err := s.open(ctx, false); err != nil {
		return nil, err
	}
	k.OnClose(func() error { return s.close() })
	return s, s.register(ctx, k)
}

// trial is the run of a row.
type trial struct {
	*kiosk
	shop *shop
	row  report.Row
	slow time.Duration // the slowest Connect but those that had to wait
}

// suffer puts the provider into a mood for some time, and has it recover.
func (t *trial) suffer(ctx context.Context, m mood) error {
	t.row.Runs++
	if err := t.shop.turn(ctx, t.kiosk, m); err != nil {
		return err
	}
	took, err := t.walk(ctx, 10)
	if err != nil {
		return err
	}
	t.judgeWaits(m, took)
	if t.tryStranger() {
		t.row.Failures = append(t.row.Failures, fmt.Sprintf("a device that bought nothing was connected while the provider %s", m))
	}
	if err := flow.AwaitProgress(ctx, t.flows...); err != nil {
		return err
	}
	missing, err := t.carried()
	if err != nil {
		return err
	}
	if err := t.shop.recover(ctx, m); err != nil {
		return err
	}
	begun := time.Now()
	err = wait.Until(ctx, "the provider knows what was used meanwhile", func() (bool, error) { return t.shop.account() >= missing, nil })
	t.row.Recovery = max(t.row.Recovery, time.Since(begun))
	return err
}

// judgeWaits holds that one Connect waits for a provider that hangs, and no other.
func (t *trial) judgeWaits(m mood, took []time.Duration) {
	slices.Sort(took)
	if m == hangs || m == alone {
		if last := took[len(took)-1]; last > timeOut+slack {
			t.row.Failures = append(t.row.Failures, fmt.Sprintf("Connect took %v while the provider %s", last, m))
		}
		took = took[:len(took)-1]
	}
	slowest := took[len(took)-1]
	t.slow = max(t.slow, slowest)
	if slowest > quick {
		t.row.Failures = append(t.row.Failures, fmt.Sprintf("Connect took %v while the provider %s", slowest, m))
	}
}

// judge ends the traffic and compares.
func (t *trial) judge(ctx context.Context) error {
	sent, lost := int64(0), int64(0)
	for _, f := range t.flows {
		s, l, err := f.Lost()
		if err != nil {
			return err
		}
		sent, lost = sent+s, lost+l
	}
	t.row.Packets = report.Zero(lost)
	if _, err := t.Agent.Disconnect(t.mac(guest)); err != nil {
		return err
	}
	carried, err := t.carried()
	if err != nil {
		return err
	}
	// It may get less for a short time, and never more: the last save is final.
	_ = wait.Until(ctx, "the provider's account is settled", func() (bool, error) { return t.shop.account() == carried, nil })
	off := int64(t.shop.account()) - int64(carried)
	t.row.Bytes = report.Zero(max(off, -off))
	unpaid, err := t.unpaid.Passed(ctx, t.letIn)
	if err != nil {
		return err
	}
	t.row.Unpaid = report.Zero(unpaid)
	t.row.Notes = append(t.row.Notes, fmt.Sprintf("%d packets sent, %d bytes on the provider's account; the slowest Connect of another customer took %.0f ms",
		sent, carried, t.slow.Seconds()*1000))
	if strings.Contains(t.Agent.Log(), "DATA RACE") {
		t.row.Failures = append(t.row.Failures, "the agent has a data race")
	}
	return nil
}

// letIn sells to the unpaid customer.
func (t *trial) letIn() error {
	_, bought := t.Agent.Buy(t.mac(unpaidCustomer), "--type", "data", "--data", "100GB")
	_, connected := t.Agent.Connect(t.mac(unpaidCustomer))
	return errors.Join(bought, connected)
}
