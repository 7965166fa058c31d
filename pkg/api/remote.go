// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// clientAddr is the address of the device that sent a request, see [Http.GetClientDevice].
func clientAddr(r *http.Request) (netip.Addr, error) {
	remote, known := parseHost(r.RemoteAddr)
	if known && !remote.IsLoopback() {
		return remote, nil
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if addr, ok := parseHost(strings.TrimSpace(hops[i])); !ok {
			break // no proxy wrote this
		} else if !addr.IsLoopback() {
			return addr, nil
		}
	}
	return netip.Addr{}, sessions.Invalidf("remote address", "%q is the router itself, and no proxy names the client", r.RemoteAddr)
}

// parseHost reads an address with or without a port.
func parseHost(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
