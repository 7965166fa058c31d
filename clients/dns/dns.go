// SPDX-License-Identifier: Apache-2.0

// Package dns has dig ask the router's resolver, and one on the internet.
package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// atOnce is far below dig's time-out. Most of it is the start of dig.
const atOnce = 2 * time.Second

// Run runs the study.
func Run(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	k, err := kiosk.Open(ctx, o, "after_reboot: resume")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	c := &client{k, report.New("dig", o)}
	for _, how := range []string{"", "+tcp"} {
		c.ask(ctx, "before paying", lab.RouterLAN4, how, lab.Server4)
		c.ask(ctx, "before paying", kiosk.Resolver, how, "refused")
	}
	if err := k.Pay(); err != nil {
		return c.rows.All(), err
	}
	for _, how := range []string{"", "+tcp"} {
		c.ask(ctx, "on payment", kiosk.Resolver, how, lab.Server4)
	}
	return c.rows.All(), nil
}

type client struct {
	*kiosk.Kiosk
	rows *report.Rows
}

// ask asks a resolver for a name, once, and adds a row: the address, or how it failed.
func (c *client) ask(ctx context.Context, when, resolver, how, wanted string) {
	args := []string{"@" + resolver, "+short", "+tries=1", "+time=5", kiosk.Site, "A"}
	if how != "" {
		args = append(args, how)
	}
	began := time.Now()
	out, err := c.Client.Run(ctx, "dig", args...)
	took := time.Since(began)
	seen := strings.TrimSpace(out)
	for word, found := range map[string]string{"unreachable": "refused", "refused": "refused", "prohibited": "refused", "timed out": "timed out"} {
		if err != nil && strings.Contains(out+err.Error(), word) {
			seen, err = found, nil
		}
	}
	c.rows.Within(took, atOnce, strings.TrimSpace(fmt.Sprintf("%s, @%s %s", when, resolver, how)), wanted, seen, err)
}
