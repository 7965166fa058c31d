// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// answerOf sends a phone's request from a remote address.
func answerOf(h http.Handler, method, remote string) *http.Response {
	r := httptest.NewRequest(method, "https://portal.example/captive", nil)
	r.Header.Set("Accept", "application/captive+json")
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// keysOf checks an answer against RFC 8908 (sections 4.2 and 5) and what Android takes, and
// returns what it says.
func keysOf(t *testing.T, answer *http.Response) map[string]any {
	t.Helper()
	body := new(strings.Builder)
	if err := answer.Write(body); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
	media, params, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode != http.StatusOK || err != nil || media != "application/captive+json" || params["charset"] != "" && params["charset"] != "utf-8" {
		t.Errorf("%s, %q", answer.Status, answer.Header.Get("Content-Type"))
	}
	if cache := answer.Header.Get("Cache-Control"); !strings.Contains(cache, "private") || !strings.Contains(cache, "no-store") {
		t.Errorf("Cache-Control %q", cache)
	}
	if len(text) > 4096 || !utf8.ValidString(text) {
		t.Errorf("%d bytes, UTF-8 %v", len(text), utf8.ValidString(text))
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	known := []string{"captive", "user-portal-url", "venue-info-url", "can-extend-session", "seconds-remaining", "bytes-remaining"}
	for key := range maps.Keys(keys) {
		if !slices.Contains(known, key) {
			t.Errorf("key %q is not of RFC 8908", key)
		}
	}
	captive, is := keys["captive"].(bool)
	page, _ := keys["user-portal-url"].(string)
	if !is || captive && !strings.HasPrefix(page, "https://") {
		t.Errorf("captive is %v, with the page %q", keys["captive"], page)
	}
	for _, left := range []string{"seconds-remaining", "bytes-remaining"} {
		if n, said := keys[left].(float64); said && (captive || n < 0 || n != float64(int64(n))) {
			t.Errorf("%s is %v, captive %v", left, keys[left], captive)
		}
	}
	return keys
}

func TestCaptiveHandler(t *testing.T) {
	_, a, clnt := dialAgent(t)
	longest := strings.Repeat("&", 300-len("https://portal.example/"))
	for name, pages := range map[string]api.CaptivePages{
		"page":    {Portal: "https://portal.example/"},
		"all":     {Portal: "https://portal.example/", Venue: "http://portal.example/map", CanExtend: true},
		"longest": {Portal: "https://portal.example/" + longest, Venue: "https://portal.example/" + longest, CanExtend: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := apitest.Must(a.Client().CaptiveHandler(pages))(t)
			own := map[string]any{"user-portal-url": pages.Portal}
			if pages.Venue != "" {
				own["venue-info-url"], own["can-extend-session"] = pages.Venue, true
			}
			expect := func(remote string, more map[string]any) {
				t.Helper()
				maps.Copy(more, own)
				if diff := cmp.Diff(more, keysOf(t, answerOf(h, http.MethodGet, remote))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", remote, diff)
				}
			}
			captive := func() map[string]any { return map[string]any{"captive": true} }
			expect(firstIP+":40000", captive())
			expect("[2001:db8::1234]:40000", captive()) // a privacy address that no table has
			expect("[fe80::1%br-lan]:40000", captive())
			expect("127.0.0.1:40000", captive())

			if err := a.SessionsMgr().CreateSession(t.Context(), clnt.Id(), 2, 60, 1, nil, 0, 0, false); err != nil {
				t.Fatal(err)
			}
			if err := a.SessionsMgr().Connect(t.Context(), clnt, ""); err != nil {
				t.Fatal(err)
			}
			expect(firstIP+":40000", map[string]any{"captive": false, "seconds-remaining": 60.0, "bytes-remaining": 1e6})
			expect("[2001:db8::1234]:40000", captive())
			if err := a.SessionsMgr().Disconnect(t.Context(), clnt, ""); err != nil {
				t.Fatal(err)
			}
			expect(firstIP+":40000", captive())
			sold := apitest.Must(a.Client().Sessions(t.Context(), api.SessionQuery{Device: firstMAC}))(t)
			if err := a.Client().DeleteSession(t.Context(), sold[0].ID); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCaptiveHandlerRefuses(t *testing.T) {
	_, a, _ := dialAgent(t)
	for _, pages := range []api.CaptivePages{
		{}, {Portal: "http://portal.example/"}, {Portal: "portal.example"}, {Portal: "https://portal.example/", Venue: "/map"},
		{Portal: "https://portal.example/" + strings.Repeat("a", 300)},
	} {
		_, err := a.Client().CaptiveHandler(pages)
		apitest.WantCode(t, err, sessions.Invalid)
	}
	h := apitest.Must(a.Client().CaptiveHandler(api.CaptivePages{Portal: "https://portal.example/"}))(t)
	if answer := answerOf(h, http.MethodPost, firstIP+":40000"); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %v", answer.Status)
	}
}

// Without an agent a phone is to look for the portal in its other ways.
func TestCaptiveHandlerWithoutAnAgent(t *testing.T) {
	agent, a, _ := dialAgent(t)
	h := apitest.Must(a.Client().CaptiveHandler(api.CaptivePages{Portal: "https://portal.example/"}))(t)
	agent.stop()
	defer agent.start()
	if answer := answerOf(h, http.MethodGet, firstIP+":40000"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v", answer.Status)
	}
}
