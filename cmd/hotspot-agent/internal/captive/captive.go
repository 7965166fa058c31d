// SPDX-License-Identifier: Apache-2.0

// Package captive goes the way of a phone that has not paid: from the names that it looks up to
// the page of the portal, and to the API that says whether it is captive. It goes from the
// router, so that what the programs in the kernel answer is not on the way.
package captive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Level says how bad a Finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, or will; worth knowing
	Fail Level = "fail" // phones do not find the portal
)

// Finding is what one check found.
type Finding struct {
	Check  string
	Level  Level
	Detail string
	Advice string // what to do; "" when nothing is to be done
}

// stepTimeout bounds each lookup and each request. Phones wait as long for a probe.
const stepTimeout = 3 * time.Second

// Path is what a phone depends on. Safe for concurrent use.
type Path struct {
	Redirect string           // URL of the portal's page; "" for none
	API      string           // URL of the RFC 8908 API; "" for none
	DNS      []netip.AddrPort // the router's own, as phones are given it; none: the resolver of this machine
	Router   []netip.Addr     // its own addresses

	Garden []string // names that are open before paying

	// Admits reports whether any device reaches an address, that of a host, before it pays.
	Admits func(host string, at netip.AddrPort) bool
	// Now is the wall clock.
	Now func() time.Time
	// Roots are the authorities that phones know; nil: those of this machine.
	Roots *x509.CertPool
}

// Check goes the whole way. It takes ten seconds at most.
func (p Path) Check(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 3*stepTimeout)
	defer cancel()
	parts := []func(context.Context) []Finding{p.checkDNS, p.checkRedirect, p.checkAPI, p.checkGarden}
	found := make([][]Finding, len(parts))
	done := make(chan struct{})
	for i, part := range parts {
		go func() {
			found[i] = part(ctx)
			done <- struct{}{}
		}()
	}
	for range parts {
		<-done
	}
	return slices.Concat(found...)
}

// lookup asks the router's DNS.
func (p Path) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	addrs, err := p.resolver().LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

func (p Path) resolver() *net.Resolver {
	if len(p.DNS) == 0 {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.DNS[0].String())
	}}
}

// client follows no redirect, and takes no proxy: phones have none.
func (p Path) client() *http.Client {
	dialer := &net.Dialer{Timeout: stepTimeout, Resolver: p.resolver()}
	return &http.Client{
		Timeout:       stepTimeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSClientConfig: p.tls()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (p Path) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.Roots, Time: p.Now}
}

// reach finds what keeps a device that has not paid from the server of a URL; "" for nothing.
func (p Path) reach(ctx context.Context, u *url.URL) (obstacle, advice string) {
	addrs, err := p.lookup(ctx, u.Hostname())
	if err != nil {
		return u.Hostname() + " does not resolve: " + reason(err), "enter it in the router's DNS (dnsmasq: address=/" + u.Hostname() + "/ADDRESS)"
	}
	port := portOf(u)
	for _, addr := range addrs {
		if at := netip.AddrPortFrom(addr, port); !p.Admits(u.Hostname(), at) {
			return at.String() + " of " + u.Host + " is not open before paying", "add " + at.String() + " to portal, or its network to walled_garden"
		}
	}
	return "", ""
}

// reason leaves out which server was asked: the error names one of resolv.conf.
func reason(err error) string {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup.Err
	}
	return err.Error()
}

func portOf(u *url.URL) uint16 {
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(port)
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}
