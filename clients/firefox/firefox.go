// SPDX-License-Identifier: Apache-2.0

// Package firefox drives Firefox by Marionette.
package firefox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
	"github.com/hotspot-agent/hotspot-agent/internal/wait"
)

const (
	soon      = time.Second // most of it is Firefox's own page
	resetTime = 10 * time.Millisecond
	patience  = 30 * time.Second
	tries     = 5
)

// Run runs the study: once with each answer to HTTPS.
func Run(ctx context.Context, o report.Options) (all []report.Row, err error) {
	for _, https := range []string{"reset", "alert"} {
		rows, failed := visit(ctx, o, https)
		all, err = append(all, rows...), errors.Join(err, failed)
	}
	return all, err
}

// customer is a browser at a kiosk.
type customer struct {
	*kiosk.Kiosk
	*browser
	rows *report.Rows
}

func visit(ctx context.Context, o report.Options, https string) (_ []report.Row, err error) {
	k, err := kiosk.Open(ctx, o, fmt.Sprintf("captive: {redirect: %q, https: %s}", kiosk.Portal, https), "after_reboot: resume")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	b, err := launch(ctx, k)
	if err != nil {
		return nil, err
	}
	c := &customer{k, b, report.New(b.product, o)}
	c.state(ctx, "before paying, https: "+https+", its own search for a portal", locked, time.Second)
	failed := map[string]string{"reset": "connectionFailure", "alert": "nssFailure2"}[https]
	if _, err := c.navigate(ctx, kiosk.Portal); err != nil { // a browser's start is not what is measured
		return c.rows.All(), err
	}
	c.showSoon(ctx, "before paying, https: "+https, "https", failed)
	c.showSoon(ctx, "before paying, https: "+https, "http", "Portal")
	if err := c.Pay(); err != nil {
		return c.rows.All(), err
	}
	c.show(ctx, "on payment", kiosk.SecurePage, kiosk.Title)
	c.show(ctx, "on payment", kiosk.Page, kiosk.Title)
	c.state(ctx, "on payment, its own search for a portal", unlocked, 0)
	if https == "alert" { // what follows does not depend on it
		return c.rows.All(), nil
	}
	c.rows.Median(tries, resetTime, "at the end of the balance, in a download", "Error in input stream", func(n int) (time.Duration, string, error) {
		if n > 0 {
			if err := c.Pay(); err != nil {
				return 0, "", err
			}
		}
		return c.download(ctx)
	})
	c.show(ctx, "after the end", kiosk.Page, "Portal")
	if err := errors.Join(c.PayTime(), c.Reboot(ctx)); err != nil {
		return c.rows.All(), err
	}
	c.show(ctx, "after the router's reboot", kiosk.Page, kiosk.Title)
	return c.rows.All(), nil
}

// show goes to a page and adds a row with what the window shows then.
func (c *customer) show(ctx context.Context, when, url, wanted string) {
	began := time.Now()
	seen, err := c.navigate(ctx, url)
	c.rows.Within(time.Since(began), 0, when+", "+url, wanted, seen, err)
}

// showSoon goes to pages of other names, and adds a row with what the window shows, and how soon.
func (c *customer) showSoon(ctx context.Context, when, scheme, wanted string) {
	c.rows.Median(tries, soon, when+", "+scheme, wanted, func(n int) (time.Duration, string, error) {
		began := time.Now()
		seen, err := c.navigate(ctx, fmt.Sprintf("%s://site%d.%s/", scheme, n, kiosk.Domain))
		return time.Since(began), seen, err
	})
}

// The states of nsICaptivePortalService.
const (
	unlocked = "unlocked portal"
	locked   = "locked portal"
)

var states = map[string]string{"0": "unknown", "1": "not captive", "2": unlocked, "3": locked}

// state has Firefox look for a portal, and adds a row with what it says.
func (c *customer) state(ctx context.Context, when, wanted string, most time.Duration) {
	const service = `const service = Cc["@mozilla.org/network/captive-portal-service;1"].getService(Ci.nsICaptivePortalService);`
	began := time.Now()
	seen, err := c.evaluate(ctx, "chrome", service+"service.recheckCaptivePortal(); return service.state")
	if err == nil {
		_ = wait.Until(ctx, wanted, func() (bool, error) { // what it is instead is in the row
			seen, err = c.evaluate(ctx, "chrome", service+"return service.state")
			return states[seen] == wanted || time.Since(began) > patience, err
		})
	}
	c.rows.Within(time.Since(began), most, when, wanted, states[seen], err)
}

// downloading reads without end, and returns how long after the last byte it failed, in
// milliseconds, and how.
const downloading = `return (async () => {
	let last = performance.now(), error = "none"
	try {
		const reader = (await fetch("/download")).body.getReader()
		for (let done = false; !done; last = performance.now())
			({done} = await reader.read())
	} catch (e) { error = e.message }
	return (performance.now() - last) + " " + error
})()`

// download downloads until the balance is used up. It returns how long after the last byte the
// page knew, and what.
func (c *customer) download(ctx context.Context) (time.Duration, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.navigate(ctx, kiosk.Page); err != nil { // an origin to download from
		return 0, "", err
	}
	said, err := c.evaluate(ctx, "content", downloading)
	text, seen, _ := strings.Cut(said, " ")
	milliseconds, failed := strconv.ParseFloat(text, 64)
	return time.Duration(milliseconds * float64(time.Millisecond)), seen, errors.Join(err, failed)
}
