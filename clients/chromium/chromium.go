// SPDX-License-Identifier: Apache-2.0

// Package chromium drives Chromium by the DevTools Protocol.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/clients/kiosk"
	"github.com/hotspot-agent/hotspot-agent/clients/report"
)

const (
	atOnce    = 300 * time.Millisecond
	resetTime = 10 * time.Millisecond
	portalTab = time.Second // until it opens by itself
	patience  = 30 * time.Second
	tries     = 5
)

// Run runs the study: once with each answer to HTTPS.
func Run(ctx context.Context, o report.Options) (all []report.Row, err error) {
	for _, https := range []string{"reset", "alert"} {
		rows, failed := visit(ctx, o, https)
		all, err = append(all, rows...), errors.Join(err, failed)
	}
	rows, failed := behindNFT(ctx, o)
	return append(all, rows...), errors.Join(err, failed)
}

// behindNFT is what the agent's rival does.
func behindNFT(ctx context.Context, o report.Options) (_ []report.Row, err error) {
	k, err := kiosk.OpenNFT(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	b, err := launch(ctx, k)
	if err != nil {
		return nil, err
	}
	c := &customer{k, b, report.NewForeign(b.product+" behind nft", o)}
	t, err := c.warm(ctx)
	if err != nil {
		return nil, err
	}
	c.showAtOnce(ctx, t, "before paying", "http", "Portal")
	const enough = 10 * time.Second
	soon, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	began := time.Now()
	seen, err := t.navigate(soon, kiosk.SecurePage)
	if errors.Is(err, context.DeadlineExceeded) {
		seen, err = "nothing", nil
	}
	c.rows.Within(time.Since(began), atOnce, "before paying, https", "ERR_CONNECTION_REFUSED", seen, err)
	return c.rows.All(), ctx.Err()
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
	if https == "reset" {
		err = c.refused(ctx)
	} else {
		err = c.alerted(ctx)
	}
	return c.rows.All(), err
}

// show goes to a page and adds a row with what the tab shows then.
func (c *customer) show(ctx context.Context, t *tab, when, url, wanted string) {
	began := time.Now()
	seen, err := t.navigate(ctx, url)
	c.rows.Within(time.Since(began), 0, when+", "+url, wanted, seen, err)
}

// showAtOnce goes to pages of other names, and adds a row with what the tab shows, and how soon.
func (c *customer) showAtOnce(ctx context.Context, t *tab, when, scheme, wanted string) {
	c.rows.Median(tries, atOnce, when+", "+scheme, wanted, func(n int) (time.Duration, string, error) {
		began := time.Now()
		seen, err := t.navigate(ctx, fmt.Sprintf("%s://site%d.%s/", scheme, n, kiosk.Domain))
		return time.Since(began), seen, err
	})
}

// warm opens a tab that has shown a page: a browser's start is not what is measured.
func (c *customer) warm(ctx context.Context) (*tab, error) {
	t, err := c.open(ctx)
	if err == nil {
		_, err = t.navigate(ctx, kiosk.Portal)
	}
	return t, err
}

// refused is a visit where HTTPS is reset.
func (c *customer) refused(ctx context.Context) error {
	t, err := c.warm(ctx)
	if err != nil {
		return err
	}
	c.showAtOnce(ctx, t, "before paying", "http", "Portal")
	c.showAtOnce(ctx, t, "before paying", "https", "ERR_CONNECTION_REFUSED")
	if err := c.Pay(); err != nil {
		return err
	}
	c.show(ctx, t, "on payment", kiosk.SecurePage, kiosk.Title)
	c.show(ctx, t, "on payment", kiosk.Page, kiosk.Title)
	c.rows.Median(tries, resetTime, "at the end of the balance, in a download", "network error", func(n int) (time.Duration, string, error) {
		if n > 0 {
			if err := c.Pay(); err != nil {
				return 0, "", err
			}
		}
		return t.download(ctx)
	})
	c.show(ctx, t, "after the end", kiosk.Page, "Portal")
	if err := errors.Join(c.PayTime(), c.Reboot(ctx)); err != nil {
		return err
	}
	c.show(ctx, t, "after the router's reboot", kiosk.Page, kiosk.Title)
	return nil
}

// alerted is a visit where HTTPS is answered by a TLS alert.
func (c *customer) alerted(ctx context.Context) error {
	t, err := c.warm(ctx)
	if err != nil {
		return err
	}
	t.forget()
	began := time.Now()
	c.show(ctx, t, "before paying, https: alert", kiosk.SecurePage, "ERR_SSL_PROTOCOL_ERROR")
	id, err := t.another(ctx, patience)
	seen := map[bool]string{true: "another tab", false: "none"}[id != ""]
	c.rows.Within(time.Since(began), portalTab, "before paying, https: alert, by itself", "another tab", seen, err)
	if id == "" || err != nil { // what follows is of that tab
		return err
	}
	portal, err := c.attach(ctx, id)
	if err != nil {
		return err
	}
	// Chromium takes the portal's next page as the sign to look again, once the first is complete.
	seen, err = portal.titled(ctx, "Portal", patience)
	c.rows.Within(time.Since(began), 0, "before paying, https: alert, in that tab", "Portal", seen, err)
	if err != nil {
		return err
	}
	if err := c.Pay(); err != nil {
		return err
	}
	// A portal leads on to some page when the customer has paid.
	began = time.Now()
	if _, err := portal.navigate(ctx, kiosk.Page); err != nil {
		return err
	}
	seen, err = t.titled(ctx, kiosk.Title, patience)
	c.rows.Within(time.Since(began), 0, "on payment, https: alert, the tab by itself", kiosk.Title, seen, err)
	return nil
}

// downloading reads without end, and returns how long after the last byte it failed, in
// milliseconds, and how.
const downloading = `(async () => {
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
func (t *tab) download(ctx context.Context) (time.Duration, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := t.navigate(ctx, kiosk.Page); err != nil { // an origin to download from
		return 0, "", err
	}
	said, err := t.evaluate(ctx, downloading)
	text, seen, _ := strings.Cut(said, " ")
	milliseconds, failed := strconv.ParseFloat(text, 64)
	return time.Duration(milliseconds * float64(time.Millisecond)), seen, errors.Join(err, failed)
}
