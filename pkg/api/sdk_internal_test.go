// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func TestUnits(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -1e-300, 1e13, math.MaxFloat64} {
		if _, err := bytesOf("data_mb", bad); sessions.CodeOf(err) != sessions.Invalid {
			t.Errorf("%v MB: %v, want invalid", bad, err)
		}
	}
	for mb, want := range map[float64]uint64{0: 0, 1: 1e6, 0.1: 100_000, 20: 20e6, 1e-6: 1, 9e12: 9e18} {
		if got, err := bytesOf("data_mb", mb); got != want || err != nil {
			t.Errorf("%v MB is %d bytes, %v; want %d", mb, got, err, want)
		}
	}
	if mbitsOf(0) != 0 || mbitsOf(512_000) != 1 || mbitsOf(5e6) != 5 {
		t.Errorf("0, 512k and 5M bit/s read as %d, %d, %d Mbit/s", mbitsOf(0), mbitsOf(512_000), mbitsOf(5e6))
	}
	if _, err := bpsOf("down_mbits", -1); sessions.CodeOf(err) != sessions.Invalid {
		t.Errorf("-1 Mbit/s: %v, want invalid", err)
	}
	if _, err := bpsOf("down_mbits", math.MaxInt64); sessions.CodeOf(err) != sessions.Invalid {
		t.Errorf("too many Mbit/s: %v, want invalid", err)
	}
}

func TestClientAddr(t *testing.T) {
	for _, test := range []struct {
		remote    string
		forwarded []string
		want      string // "": refused
	}{
		{"10.0.0.2:1234", nil, "10.0.0.2"},
		{"10.0.0.2:1234", []string{"10.0.0.9"}, "10.0.0.2"}, // a customer's own word
		{"[fd00::2]:1234", nil, "fd00::2"},
		{"[fe80::2%eth0]:1234", nil, "fe80::2"},
		{"[::ffff:10.0.0.2]:1234", nil, "10.0.0.2"},
		{"127.0.0.1:1", []string{"10.0.0.2"}, "10.0.0.2"},
		{"127.0.0.1:1", []string{"10.6.6.6, 10.0.0.2"}, "10.0.0.2"}, // the proxy's word is last
		{"127.0.0.1:1", []string{"10.6.6.6", "10.0.0.2, 127.0.0.1"}, "10.0.0.2"},
		{"[::1]:1", []string{"[fd00::2]:99"}, "fd00::2"},
		{"@", []string{"10.0.0.2"}, "10.0.0.2"}, // a Unix socket
		{"127.0.0.1:1", nil, ""},
		{"127.0.0.1:1", []string{"unknown"}, ""},
		{"127.0.0.1:1", []string{"10.6.6.6, unknown"}, ""},
		{"127.0.0.1:1", []string{"127.0.0.1"}, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header = test.remote, http.Header{"X-Forwarded-For": test.forwarded}
		got, err := clientAddr(r)
		if test.want == "" {
			if CodeOf(err) != Invalid || !strings.Contains(err.Error(), test.remote) {
				t.Errorf("%s, %q: %v, %v; want it refused", test.remote, test.forwarded, got, err)
			}
		} else if err != nil || got.String() != test.want {
			t.Errorf("%s, %q: %v, %v; want %s", test.remote, test.forwarded, got, err, test.want)
		}
	}
}
