// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	portalURL = "http://" + lab.RouterLAN4 + "/"
	portal    = "<!doctype html><title>The kiosk</title><p>30 minutes, or 500 MB?\n"
	httpsPort = 443
	// atOnce is far below what silence costs a phone: the second SYN comes after a second.
	atOnce = 300 * time.Millisecond
)

// servePortal serves the page that customers are led to, at any path.
func (d *day) servePortal() (stop func(), err error) {
	listener, err := d.kiosk.Router.Listen(fmt.Sprintf(":%d", portalPort))
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, portal) }),
	}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return func() { _ = server.Close() }, nil
}

// anaJoins shows that nothing passes before paying, and that a phone finds the portal.
func (d *day) anaJoins(ctx context.Context) error {
	d.scene("Ana joins the WiFi and has not paid.")
	const tries = 5
	for _, server := range []netip.Addr{server4, server6} {
		answered, err := d.ana.Ping(netip.AddrPortFrom(server, echoPort), tries, 100*time.Millisecond)
		if err != nil {
			return err
		}
		d.promise(answered == 0, "%d of %d packets to %s on the internet answered", answered, tries, server)
	}
	for _, server := range []netip.Addr{server4, server6} {
		if err := d.isLed(ctx, "http://"+inURL(server)+"/generate_204"); err != nil {
			return err
		}
		d.isRefused(ctx, server)
	}
	return nil
}

func inURL(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// isLed opens a page as a browser does, which follows redirects.
func (d *day) isLed(ctx context.Context, url string) error {
	browser := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: d.ana.Dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	since := time.Now()
	response, err := browser.Do(request)
	if err != nil {
		d.promise(false, "%s: %v", url, err)
		return ctx.Err()
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	took := time.Since(since)
	at := response.Request.URL.String()
	d.promise(err == nil && at == portalURL && strings.Contains(string(page), portal) && took < atOnce,
		"%s leads her to the portal's page, %s, after %s", url, at, took.Round(100*time.Microsecond))
	return nil
}

// isRefused connects as a browser does for HTTPS, which cannot be redirected.
func (d *day) isRefused(ctx context.Context, server netip.Addr) {
	since := time.Now()
	conn, err := d.ana.Dial(ctx, "tcp", netip.AddrPortFrom(server, httpsPort).String())
	took := time.Since(since)
	if err == nil {
		_ = conn.Close()
	}
	d.promise(errors.Is(err, syscall.ECONNREFUSED) && took < atOnce,
		"https://%s/ is refused after %s, not after minutes of silence", inURL(server), took.Round(100*time.Microsecond))
}
