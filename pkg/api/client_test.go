// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The client's types marshal to the JSON that they came from.
func TestClientTypesKeepTheJSON(t *testing.T) {
	a := startAgent(t, server.Options{})
	days := uint(3)
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC, IP: firstIP, Hostname: "a<b>&c"}))(t)
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: secondMAC}))(t)
	a.sell("1")
	apitest.Must(a.client.CreateSession(t.Context(), api.NewSession{Device: "2", Type: "2", TimeSecs: 5, DataBytes: 1 << 60, ExpDays: &days}))(t)
	apitest.Must(a.client.Connect(t.Context(), "2", "hello"))(t)
	for path, value := range map[string]any{
		"/v1/status":           &api.AgentStatus{},
		"/v1/devices":          &[]api.Device{},
		"/v1/devices/1":        &api.Device{},
		"/v1/devices/1/status": &api.DeviceStatus{},
		"/v1/devices/2/status": &api.DeviceStatus{},
		"/v1/sessions":         &[]api.Session{},
		"/v1/providers":        &[]api.Provider{},
	} {
		raw := apitest.Must(a.client.Do(t.Context(), "GET", path, nil))(t)
		if err := json.Unmarshal(raw, value); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var again strings.Builder
		encoder := json.NewEncoder(&again)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil || strings.TrimSpace(again.String()) != string(raw) {
			t.Errorf("%s: the server says\n%s\nthe type says\n%s (%v)", path, raw, again.String(), err)
		}
	}
}

func TestSocketThatIsNoAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("hello"))
	})}
	go func() { _ = other.Serve(ln) }()
	defer wire.CloseQuietly(other)
	c := api.NewClient(path)
	_, err = c.Status(t.Context())
	apitest.WantCode(t, err, sessions.Unavailable, "503")
	_, err = c.Devices(t.Context())
	apitest.WantCode(t, err, sessions.Internal, "not what was expected")
}
