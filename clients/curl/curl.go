// SPDX-License-Identifier: Apache-2.0

// Package curl has curl fetch pages, over http and https, IPv4 and IPv6.
package curl

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
)

const (
	atTheEnd  = "at the end of the balance, in a download"
	patience  = "10" // seconds
	atOnce    = 300 * time.Millisecond
	resetTime = 10 * time.Millisecond
	tries     = 5
)

// Run runs the study: once with each answer to HTTPS, and once with each after_reboot.
func Run(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	rows := report.New("curl", o)
	if err = visit(ctx, o, rows, "reset", "resume"); err == nil {
		err = visit(ctx, o, rows, "alert", "pause")
	}
	rival, failed := behindNFT(ctx, o)
	return append(rows.All(), rival...), errors.Join(err, failed)
}

// behindNFT is what the agent's rival does.
func behindNFT(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	k, err := kiosk.OpenNFT(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	c := &client{k, report.NewForeign("curl behind nft", o)}
	c.fetch(ctx, "before paying, "+kiosk.Page, "Portal", "-4", kiosk.Page)
	c.fetch(ctx, "before paying, "+kiosk.SecurePage, "refused", "-4", kiosk.SecurePage)
	if err := k.Admit(); err != nil {
		return c.rows.All(), err
	}
	took, seen, err := c.download(ctx)
	c.rows.Within(took, resetTime, atTheEnd, "reset", seen, err)
	return c.rows.All(), ctx.Err()
}

// Exit statuses of curl (curl(1)).
var statuses = map[int]string{
	0: "ok", 7: "refused", 28: "timed out", 35: "TLS failed", 56: "reset",
}

func visit(ctx context.Context, o report.Options, rows *report.Rows, https, reboot string) (err error) {
	k, err := kiosk.Open(ctx, o, fmt.Sprintf("captive: {redirect: %q, https: %s}", kiosk.Portal, https), "after_reboot: "+reboot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	c := &client{k, rows}
	refused := map[string]string{"reset": "refused", "alert": "TLS failed"}[https]
	for _, family := range []string{"-4", "-6"} {
		c.fetch(ctx, "before paying, "+kiosk.Page+" "+family, "Portal", family, kiosk.Page)
		c.fetch(ctx, fmt.Sprintf("before paying, %s %s, https: %s", kiosk.SecurePage, family, https), refused, family, kiosk.SecurePage)
	}
	if err := k.Agent.Kill(); err != nil {
		return err
	}
	c.fetch(ctx, "before paying, the agent killed, "+kiosk.Page, "Portal", "-4", kiosk.Page)
	if err := errors.Join(k.Agent.Start(), k.Pay()); err != nil {
		return err
	}
	for _, family := range []string{"-4", "-6"} {
		c.fetch(ctx, "on payment, "+kiosk.Page+" "+family, kiosk.Title, family, kiosk.Page)
		c.fetch(ctx, "on payment, "+kiosk.SecurePage+" "+family, kiosk.Title, family, kiosk.SecurePage)
	}
	rows.Median(tries, resetTime, atTheEnd, "reset", func(n int) (time.Duration, string, error) {
		if n > 0 {
			if err := k.Pay(); err != nil {
				return 0, "", err
			}
		}
		return c.download(ctx)
	})
	c.fetch(ctx, "after the end", "Portal", "-4", kiosk.Page)
	return c.reboot(ctx, reboot)
}

type client struct {
	*kiosk.Kiosk
	rows *report.Rows
}

// reboot is what a customer with a balance meets after the router's reboot.
func (c *client) reboot(ctx context.Context, setting string) error {
	if err := c.PayTime(); err != nil {
		return err
	}
	if err := c.Reboot(ctx); err != nil {
		return err
	}
	when := "after the router's reboot, after_reboot: " + setting
	if setting == "resume" {
		c.fetch(ctx, when, kiosk.Title, "-4", kiosk.Page)
		return nil
	}
	c.fetch(ctx, when, "Portal", "-4", kiosk.Page)
	if err := c.Connect(); err != nil {
		return err
	}
	c.fetch(ctx, when+", after Connect", kiosk.Title, "-4", kiosk.Page)
	return nil
}

// fetch fetches a page, and adds a row: its title, or how curl failed.
func (c *client) fetch(ctx context.Context, when, wanted, family, url string) {
	began := time.Now()
	out, err := c.Client.Run(ctx, "curl", "--silent", "--max-time", patience, "--location", family, "--cacert", kiosk.AuthorityFile,
		"--write-out", "%{time_total}", url)
	took := time.Since(began)
	seen, failed := status(err)
	if at := strings.LastIndexByte(out, '\n'); failed == nil {
		// curl's own time, without that of its start.
		if own, err := time.ParseDuration(out[at+1:] + "s"); err == nil {
			took = own
		}
	}
	if seen == "ok" {
		seen = title(out)
	}
	c.rows.Within(took, atOnce, when, wanted, seen, failed)
}

// status is curl's exit in words.
func status(err error) (string, error) {
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return "", err
	}
	if word, ok := statuses[code]; ok {
		return word, nil
	}
	return "", fmt.Errorf("curl: exit status %d", code)
}

func title(page string) string {
	_, rest, _ := strings.Cut(page, "<title>")
	found, _, _ := strings.Cut(rest, "</title>")
	return found
}

// download downloads until the balance is used up. It returns how long after its last byte curl
// complained, and how it ended.
func (c *client) download(ctx context.Context) (time.Duration, string, error) {
	cmd := c.Client.Command(ctx, "curl", "--silent", "--show-error", "--max-time", patience, "--no-buffer", "-4", kiosk.Download)
	var out, complaint clock
	cmd.Stdout, cmd.Stderr = &out, &complaint
	seen, err := status(cmd.Run())
	return max(0, complaint.last.Sub(out.last)), seen, err // the two are read side by side
}

// clock keeps when it was last written to.
type clock struct{ last time.Time }

func (c *clock) Write(p []byte) (int, error) {
	c.last = time.Now()
	return len(p), nil
}
