// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/server"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// dialAgent starts an agent with a neighbour, and returns its SDK and that device.
func dialAgent(t *testing.T) (*testAgent, *api.API, api.ClientDevice) {
	t.Helper()
	agent := startAgent(t, server.Options{})
	agent.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	a := apitest.Must(api.Dial(agent.Socket()))(t)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return agent, a, apitest.Must(a.Http().GetClientDevice(customer()))(t)
}

func customer() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = firstIP + ":40000"
	return r
}

func TestDialWithoutAnAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	_, err := api.Dial(path)
	apitest.WantCode(t, err, sessions.Unavailable, path, "hotspot-agent run")
}

// The seed's verbs, with its argument order and types.
func TestSeedVerbs(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	ctx := t.Context()
	if clnt.MacAddr() != firstMAC || clnt.IpAddr() != firstIP || clnt.Id() != 1 || clnt.Hostname() != "" {
		t.Errorf("the device is %d %s %s %q", clnt.Id(), clnt.MacAddr(), clnt.IpAddr(), clnt.Hostname())
	}
	apitest.WantCode(t, a.SessionsMgr().Connect(ctx, clnt, ""), sessions.NoSession)
	if _, err := a.SessionsMgr().GetSession(ctx, clnt); sessions.CodeOf(err) != sessions.NoSession {
		t.Errorf("GetSession of a device without one: %v", err)
	}
	expDays := uint(30)
	if err := a.SessionsMgr().CreateSession(ctx, clnt.Id(), uint8(0), uint(60), 100.0, &expDays, 5, 3, false); err != nil {
		t.Fatal(err)
	}
	s := apitest.Must(a.SessionsMgr().GetSession(ctx, clnt))(t)
	if s.Provider() != "local" || s.Type() != 0 || s.TimeSecs() != 60 || s.DataMb() != 0 || s.RemainingTime() != 60 ||
		s.DownMbits() != 5 || s.UpMbits() != 3 || s.UseGlobalSpeed() || *s.ExpDays() != 30 ||
		s.StartedAt() != nil || s.ExpiresAt() != nil || s.CreatedAt().IsZero() {
		t.Errorf("the sold session is %+v", s)
	}
	if _, ok := a.SessionsMgr().CurrSession(clnt); ok {
		t.Error("a session runs before Connect")
	}
	if err := a.SessionsMgr().Connect(ctx, clnt, "You are now connected to internet."); err != nil {
		t.Fatal(err)
	}
	if ok, err := a.SessionsMgr().IsConnected(clnt); !ok || err != nil || !agent.passes(firstMAC) {
		t.Errorf("after Connect IsConnected is %v, %v", ok, err)
	}
	agent.Clock.Advance(2500 * time.Millisecond)
	s, ok := a.SessionsMgr().CurrSession(clnt)
	if !ok || s.TimeConsumption() != 2 || s.RemainingTime() != 58 || s.StartedAt() == nil ||
		!s.ExpiresAt().Equal(s.StartedAt().AddDate(0, 0, 30)) {
		t.Errorf("the running session is %+v, %v", s, ok)
	}
	for range 2 { // pausing twice is as good as once
		if err := a.SessionsMgr().Disconnect(ctx, clnt, "bye"); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := a.SessionsMgr().IsConnected(clnt); ok || err != nil {
		t.Errorf("after Disconnect IsConnected is %v, %v", ok, err)
	}
}

func TestCreateSessionTypes(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	for _, test := range []struct {
		kind      uint8
		secs      int64
		dataBytes uint64
	}{{0, 60, 0}, {1, 0, 1_500_000}, {2, 60, 1_500_000}} {
		if err := a.SessionsMgr().CreateSession(t.Context(), clnt.Id(), test.kind, 60, 1.5, nil, 0, 0, true); err != nil {
			t.Fatal(err)
		}
		list := apitest.Must(agent.client.Sessions(t.Context(), api.SessionQuery{}))(t)
		got := list[len(list)-1]
		if got.Type != sessions.Type(test.kind).String() || got.TimeSecs != test.secs || got.DataBytes != test.dataBytes || !got.UseGlobalSpeed || got.ExpDays != nil {
			t.Errorf("type %d became %+v", test.kind, got)
		}
	}
}

func TestCreateSessionRefuses(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	for _, test := range []struct {
		field string
		call  func(*api.SessionsMgr, context.Context, int64) error
	}{
		{"type", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 3, 60, 1, nil, 0, 0, false)
		}},
		{"time_secs", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 0, 0, 1, nil, 0, 0, false)
		}},
		{"time_secs", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 0, math.MaxUint, 1, nil, 0, 0, false)
		}},
		{"data_mb", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 1, 0, math.NaN(), nil, 0, 0, false)
		}},
		{"data_mb", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 1, 0, math.Inf(1), nil, 0, 0, false)
		}},
		{"data_mb", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 1, 0, -1, nil, 0, 0, false)
		}},
		{"data_bytes", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 1, 0, 1e-9, nil, 0, 0, false)
		}},
		{"down_mbits", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 0, 60, 0, nil, -1, 0, false)
		}},
		{"up_mbits", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			return m.CreateSession(ctx, id, 0, 60, 0, nil, 0, math.MinInt, false)
		}},
		{"exp_days", func(m *api.SessionsMgr, ctx context.Context, id int64) error {
			days := uint(math.MaxUint)
			return m.CreateSession(ctx, id, 0, 60, 0, &days, 0, 0, false)
		}},
	} {
		err := test.call(a.SessionsMgr(), t.Context(), clnt.Id())
		apitest.WantCode(t, err, sessions.Invalid, test.field)
		var own *sessions.Error
		if errors.As(err, &own) && own.Field != test.field {
			t.Errorf("field is %q, want %q", own.Field, test.field)
		}
	}
	apitest.WantCode(t, a.SessionsMgr().CreateSession(t.Context(), 99, 0, 60, 0, nil, 0, 0, false), sessions.NotFound, "99")
	if list := apitest.Must(agent.client.Sessions(t.Context(), api.SessionQuery{}))(t); len(list) != 0 {
		t.Errorf("refused purchases left %+v", list)
	}
}

func TestNilDevices(t *testing.T) {
	_, a, _ := dialAgent(t)
	apitest.WantCode(t, a.SessionsMgr().Connect(t.Context(), nil, ""), sessions.Invalid)
	apitest.WantCode(t, a.SessionsMgr().Disconnect(t.Context(), nil, ""), sessions.Invalid)
	_, err := a.SessionsMgr().IsConnected(nil)
	apitest.WantCode(t, err, sessions.Invalid)
	_, err = a.Http().GetClientDevice(nil)
	apitest.WantCode(t, err, sessions.Invalid)
	apitest.WantCode(t, a.SessionsMgr().RegisterSessionProvider(nil), sessions.Invalid)
	if _, ok := a.SessionsMgr().CurrSession(nil); ok {
		t.Error("no device has a session")
	}
}

func TestUnknownCustomer(t *testing.T) {
	_, a, _ := dialAgent(t)
	r := customer()
	r.RemoteAddr = "10.0.0.99:1"
	_, err := a.Http().GetClientDevice(r)
	apitest.WantCode(t, err, sessions.NotFound, "10.0.0.99")
}

func TestDeviceUpdate(t *testing.T) {
	agent, _, clnt := dialAgent(t)
	if err := clnt.Update(t.Context(), "02-00-00-00-00-0A", "", "phone"); err != nil {
		t.Fatal(err)
	}
	if clnt.MacAddr() != "02:00:00:00:00:0a" || clnt.Hostname() != "phone" || clnt.IpAddr() != firstIP {
		t.Errorf("the device is %s %s %q", clnt.MacAddr(), clnt.IpAddr(), clnt.Hostname())
	}
	apitest.Must(agent.client.CreateSession(t.Context(), api.NewSession{Device: secondMAC, Type: "time", TimeSecs: 60}))(t)
	apitest.WantCode(t, clnt.Update(t.Context(), secondMAC, "", ""), sessions.Conflict)
	if clnt.MacAddr() != "02:00:00:00:00:0a" {
		t.Errorf("a refused update left %s", clnt.MacAddr())
	}
}

// GetSession of a connected device is its running session, also beside one that Connect
// would choose now.
func TestGetSessionOfAConnectedDevice(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	running := startSession(t, a, clnt)
	soon := uint(1)
	if err := a.SessionsMgr().CreateSession(t.Context(), clnt.Id(), 0, 30, 0, &soon, 0, 0, false); err != nil {
		t.Fatal(err)
	}
	s := apitest.Must(a.SessionsMgr().GetSession(t.Context(), clnt))(t)
	if !s.CreatedAt().Equal(running.CreatedAt()) || s.StartedAt() == nil {
		t.Errorf("GetSession of a connected device is %+v, want the running session", s)
	}
	if err := a.SessionsMgr().Disconnect(t.Context(), clnt, ""); err != nil {
		t.Fatal(err)
	}
	paused := apitest.Must(agent.client.AvailableSession(t.Context(), firstMAC))(t)
	if paused.State != api.Paused {
		t.Errorf("after Disconnect the available session is %+v, want the paused one", paused)
	}
}

func TestDeviceWithoutARequest(t *testing.T) {
	_, a, clnt := dialAgent(t)
	for _, ref := range []string{"1", firstMAC, firstIP} {
		if found := apitest.Must(a.Device(t.Context(), ref))(t); found.Id() != clnt.Id() || found.MacAddr() != firstMAC {
			t.Errorf("%s is device %d %s", ref, found.Id(), found.MacAddr())
		}
	}
	_, err := a.Device(t.Context(), secondMAC)
	apitest.WantCode(t, err, sessions.NotFound, secondMAC)
}
