// SPDX-License-Identifier: Apache-2.0

package server

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// fromPage are the headers by which a browser says that a page sends the request (Fetch
// Metadata, W3C; RFC 6454; RFC 9110, 10.1.3). Not Sec-Fetch-Mode alone: the fetch of
// JavaScript runtimes without pages sends it, too (nodejs/undici#1305).
var fromPage = []string{"Sec-Fetch-Site", "Origin", "Referer"}

// refuseBrowsers refuses what a web page could send through a proxy before the socket:
// the API has no notion of a page's origin. The host is for pages whose name was pointed at
// the proxy after they were loaded (DNS rebinding): their requests have the same origin,
// and over plain HTTP none of the headers.
func refuseBrowsers(r *http.Request) error {
	for _, name := range fromPage {
		if values := r.Header[name]; len(values) > 0 {
			return sessions.Errorf(sessions.Forbidden, "requests of browsers are refused (%s: %s)", name, wire.Quote([]byte(strings.Join(values, ","))))
		}
	}
	if !isLocalHost(r.Host) {
		return sessions.Errorf(sessions.Forbidden, "Host %s is not local; use localhost", wire.Quote([]byte(r.Host)))
	}
	return nil
}

// noSites are the last labels of names that no web site has: reserved by RFC 6761 and ICANN
// (internal), and what clients of Unix sockets write, which no registry has.
var noSites = []string{"localhost", "internal", "invalid", "test", "sock", "socket", "unix"}

// isLocalHost accepts a loopback address, any name of one label, and names that end in one
// of noSites: none of them can be a web site's. Neither can one with a percent sign: it is
// the path of a socket.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	last := strings.LastIndexByte(host, '.')
	return last < 0 || strings.Contains(host, "%2F") || strings.Contains(host, "%2f") || slices.Contains(noSites, strings.ToLower(host[last+1:]))
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
	switch parsed, _, _ := mime.ParseMediaType(kind); {
	case parsed == wire.TypeJSON, parsed == wire.TypeLines, parsed == "application/x-www-form-urlencoded":
		return nil
	case parsed == wire.TypePatch && r.Method == http.MethodPatch:
		return nil
	}
	return sessions.Invalidf("Content-Type", "%s is not %s", wire.Quote([]byte(kind)), wire.TypeJSON)
}
