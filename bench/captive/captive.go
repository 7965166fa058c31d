// SPDX-License-Identifier: Apache-2.0

// Package captive measures what devices meet that have not paid: how fast they are led
// to the portal, what a flood of them leaves in the kernel, and when a customer knows that
// the balance is used up; next to a redirect by nftables and to a transparent proxy.
package captive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

const study = "captive"

// plan is how much is measured.
type plan struct {
	rounds  int // of redirects
	turn    time.Duration
	syns    int
	ends    int // downloads
	names   int // of the walled garden
	without time.Duration
}

func planFor(scale report.Scale) plan {
	if scale == report.Quick {
		return plan{rounds: 3, turn: 150 * time.Millisecond, syns: 30_000, ends: 3, names: 200, without: 500 * time.Millisecond}
	}
	return plan{rounds: 9, turn: time.Second, syns: 1_000_000, ends: 20, names: 2000, without: 3 * time.Second}
}

// Run measures the answers. There is a router for each subject: they take turns at
// redirects. Floods come last: tables that are full would be in the way of the rest.
func Run(ctx context.Context, scale report.Scale, agent string, out *report.Report) (err error) {
	var routers []*router
	defer func() {
		for _, r := range routers {
			err = errors.Join(err, r.close())
		}
	}()
	for _, s := range []subject{agentSubject(agent), redirectSubject, tproxySubject} {
		r, err := newRouter(ctx, s)
		if err != nil {
			return err
		}
		routers = append(routers, r)
	}
	return planFor(scale).measure(ctx, routers, out)
}

func (p plan) measure(ctx context.Context, routers []*router, out *report.Report) error {
	mine, began := routers[0], time.Now()
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"redirects", func() error { return p.redirects(ctx, routers, out) }},
		{"amplification", func() error { return amplification(ctx, mine, out) }},
		{"memory", func() error { return memory(mine, out) }},
		{"end of the balance", func() error { return p.endOfBalance(ctx, mine, out) }},
		{"walled garden", func() error { return p.gardens(ctx, routers, out) }},
		{"without the agent", func() error { return p.withoutAgent(ctx, mine, out) }},
		{"floods", func() error { return p.floods(ctx, routers, out) }},
	} {
		out.Say("captive: %s (%.0f s)", part.name, time.Since(began).Seconds())
		if err := errors.Join(part.run(), ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
