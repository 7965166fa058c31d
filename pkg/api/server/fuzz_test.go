// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// FuzzReadObject: every body of a request is taken or refused as invalid, and what is
// taken is within the bounds of the rules.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"device":1,"type":"time","time_secs":60}`, `{"device":NaN`, `{"a":{}`, `{"type":""}`, "{\"\x00\":1}", `{"time_secs":-0}`,
		`{"mac":"02:00:00:00:00:01","ip":"10.0.0.2","hostname":"phone"}`, `{"notify":"x"}`, `{"name":"shop","socket":"/s"}`,
		`{"exp_days":null,"started_at":"2026-01-02T03:04:05Z"}`, `{"add_data_bytes":9.2e18}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		spec, device, err := newSessionFrom(body)
		if err == nil && (spec.Time < 0 || spec.Bytes > math.MaxInt64 || !spec.Type.Valid() || device == "") {
			t.Errorf("%q was accepted as %+v of %q", body, spec, device)
		}
		_, _, patch := sessionPatchFrom(body)
		_, newDevice := newDeviceFrom(body)
		_, devicePatch := devicePatchFrom(body)
		_, notify := notifyFrom(body)
		_, provider := providerFrom(body)
		for _, err := range []error{err, patch, newDevice, devicePatch, notify, provider} {
			if err != nil && sessions.CodeOf(err) != sessions.Invalid {
				t.Errorf("%q: %v is not invalid", body, err)
			}
		}
	})
}

// FuzzQuery: every query is taken or refused as invalid; no event has a number below 0.
func FuzzQuery(f *testing.F) {
	f.Add("after=5&follow=false", "")
	f.Add("after=-1", "7")
	f.Add("after=9223372036854775808", "")
	f.Add("%zz", "\x00")
	f.Add("after=1;follow=2", " 1")
	f.Add("after=1&generation=0123456789abcdef&type=session.low", "5-0123456789abcdef")
	f.Fuzz(func(t *testing.T, query, last string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Last-Event-Id": {last}}}
		args, err := queryOf(r, []string{"after", "generation", "type", "follow"})
		var after int64
		if err == nil {
			var s selection
			s, err = eventHandlers{}.selectionFrom(&call{Request: r, args: args})
			after = s.place.After
		}
		if err == nil && after < 0 || err != nil && sessions.CodeOf(err) != sessions.Invalid {
			t.Errorf("%q, %q: after %d, %v", query, last, after, err)
		}
	})
}

// FuzzCrossSite: a host that a web site can have, one with a dot in it and a registered last
// label, does not pass.
func FuzzCrossSite(f *testing.F) {
	for _, host := range []string{"localhost", "agent:80", "127.0.0.1", "[::1]:8080", "evil.example", "[evil.example]", "127.0.0.1.evil.example", "a.localhost", "agent.sock", "sock.example", "[::ffff:127.0.0.1]", "::1%eth0"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/status", nil)
		r.Host = host
		if err := refuseBrowsers(r); err != nil {
			return
		}
		name, _, _ := strings.Cut(strings.TrimLeft(host, "["), ":")
		name = strings.TrimRight(name, "]")
		if strings.Contains(name, ".") && !strings.HasPrefix(name, "127.") && !strings.Contains(strings.ToLower(name), "%2f") &&
			!slices.Contains(noSites, strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])) {
			t.Errorf("%q is taken for local", host)
		}
	})
}
