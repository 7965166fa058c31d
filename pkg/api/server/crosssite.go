// SPDX-License-Identifier: Apache-2.0

package server

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// refuseBrowsers refuses what a web page could send through a proxy before the socket:
// the API has no notion of a page's origin.
func refuseBrowsers(r *http.Request) error {
	for name, values := range r.Header {
		if name == "Origin" || name == "Referer" || strings.HasPrefix(name, "Sec-Fetch-") {
			return sessions.Errorf(sessions.Forbidden, "requests of browsers are refused (%s: %s)", name, wire.Quote([]byte(strings.Join(values, ","))))
		}
	}
	if !isLocalHost(r.Host) {
		return sessions.Errorf(sessions.Forbidden, "Host %s is not local; use localhost", wire.Quote([]byte(r.Host)))
	}
	return nil
}

// isLocalHost accepts a loopback address, localhost, and any name of one label:
// none of them can be a web site's.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}

// refuseForms refuses bodies that are not called JSON, or lines of it. A page's form can send
// text/plain that reads as JSON, and needs no script and no permission for it. What
// curl -d calls its body is let through: a form that says the same has every brace and
// quote in it escaped, so that it is no JSON object; nor is a body without a type.
func refuseForms(r *http.Request) error {
	kind := r.Header.Get("Content-Type")
	if kind == "" || r.ContentLength == 0 {
		return nil
	}
	switch parsed, _, _ := mime.ParseMediaType(kind); parsed {
	case wire.TypeJSON, wire.TypeLines, "application/x-www-form-urlencoded":
		return nil
	}
	return sessions.Invalidf("Content-Type", "%s is not %s", wire.Quote([]byte(kind)), wire.TypeJSON)
}
