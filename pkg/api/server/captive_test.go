// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// A device is captive until it is connected, and then has what its session has left. RFC 8908,
// section 5: what is left is not said of a captive one, nor where nothing bounds it.
func TestCaptive(t *testing.T) {
	a := startAgent(t, Options{})
	a.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	ctx, c := t.Context(), a.client
	pages := api.CaptivePages{Portal: "https://portal.example/", Venue: "https://portal.example/map", CanExtend: true}
	ask := func(what string, want api.CaptiveState) {
		t.Helper()
		want.UserPortalURL, want.VenueInfoURL, want.CanExtendSession = pages.Portal, pages.Venue, true
		if diff := cmp.Diff(want, apitest.Must(c.Captive(ctx, firstIP, pages))(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	seconds, bytes := int64(60), uint64(1e6)
	ask("before buying", api.CaptiveState{Captive: true})
	for name, session := range map[string]struct {
		sold api.NewSession
		want api.CaptiveState
	}{
		"time":         {api.NewSession{Type: "time", TimeSecs: 60}, api.CaptiveState{SecondsRemaining: &seconds}},
		"data":         {api.NewSession{Type: "data", DataBytes: 1e6}, api.CaptiveState{BytesRemaining: &bytes}},
		"time or data": {api.NewSession{Type: "time_or_data", TimeSecs: 60, DataBytes: 1e6}, api.CaptiveState{SecondsRemaining: &seconds, BytesRemaining: &bytes}},
	} {
		session.sold.Device = firstMAC
		sold := apitest.Must(c.CreateSession(ctx, session.sold))(t)
		ask(name+", bought only", api.CaptiveState{Captive: true})
		apitest.Must(c.Connect(ctx, firstMAC, ""))(t)
		ask(name, session.want)
		apitest.Must(c.Disconnect(ctx, firstMAC, ""))(t)
		ask(name+", paused", api.CaptiveState{Captive: true})
		if err := c.DeleteSession(ctx, sold.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A session that expires before its time is used up ends then.
func TestCaptiveExpiry(t *testing.T) {
	a := startAgent(t, Options{})
	a.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	days := uint(1)
	apitest.Must(a.client.CreateSession(t.Context(), api.NewSession{Device: firstMAC, Type: "time", TimeSecs: 5 * 86400, ExpDays: &days}))(t)
	apitest.Must(a.client.Connect(t.Context(), firstMAC, ""))(t)
	got := apitest.Must(a.client.Captive(t.Context(), firstIP, api.CaptivePages{Portal: "https://portal.example/"}))(t)
	if got.SecondsRemaining == nil || *got.SecondsRemaining != int64(24*time.Hour/time.Second) {
		t.Errorf("%+v, want a day", got)
	}
}

// A device that the agent does not see gets an answer: phones do not ask again after an error.
func TestCaptiveUnknown(t *testing.T) {
	a := startAgent(t, Options{})
	for _, ip := range []string{"10.0.0.77", "2001:db8::7", "fe80::7"} {
		got := apitest.Must(a.client.Captive(t.Context(), ip, api.CaptivePages{Portal: "https://portal.example/"}))(t)
		if want := (api.CaptiveState{Captive: true, UserPortalURL: "https://portal.example/"}); got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
}

// The answer is the media type that phones ask for, with the URL of the configuration; the
// request's goes before.
func TestCaptiveWire(t *testing.T) {
	a := startAgent(t, Options{Portal: "https://configured.example/"})
	for query, want := range map[string]string{"": "https://configured.example/", "&portal=https://asked.example/": "https://asked.example/"} {
		answer, problem := a.ask("GET", "/v1/captive?ip=10.0.0.77"+query, "", nil)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != wire.TypeCaptive || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v %+v", query, answer.StatusCode, answer.Header, problem)
		}
		raw := apitest.Must(a.client.Do(t.Context(), "GET", "/v1/captive?ip=10.0.0.77"+query, nil))(t)
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"captive": true, "user-portal-url": want}, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
}

// What would be an answer against RFC 8908 is refused, whatever the device.
func TestCaptiveRefuses(t *testing.T) {
	a := startAgent(t, Options{})
	for query, want := range map[string]string{
		"ip=10.0.0.2":                                                "portal",
		"ip=x&portal=https://p.example/":                             `"x"`,
		"ip=10.0.0.2&portal=http://p/":                               `"http://p/"`,
		"ip=10.0.0.2&portal=https:///path":                           `"https:///path"`,
		"ip=10.0.0.2&portal=https://p.example/&venue=ftp://v/":       `"ftp://v/"`,
		"ip=10.0.0.2&portal=https://p.example/&can_extend=perhaps":   `"perhaps"`,
		"ip=10.0.0.2&portal=https://p.example/&venue-info=https://v": "unknown parameter",
	} {
		_, err := a.client.Do(t.Context(), "GET", "/v1/captive?"+query, nil)
		apitest.WantCode(t, err, sessions.Invalid, want)
	}
}
