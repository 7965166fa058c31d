// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// serveAnswer is a provider that answers everything with one text.
func serveAnswer(t *testing.T, handler http.HandlerFunc) sessions.Provider {
	t.Helper()
	return DialProvider(sessions.ProviderRecord{Name: "odd", Socket: serveProvider(t, handler)})
}

func serveProvider(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { wire.CloseQuietly(server) })
	return path
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

var someDevice = sessions.Device{ID: 1}

func TestProviderNonsenseIsRefused(t *testing.T) {
	data := func(field string) string {
		return `{"found":true,"token":"t","data":{"type":"time",` + field + `}}`
	}
	for body, words := range map[string]string{
		``:                                      "empty",
		`hello`:                                 "not a JSON object",
		`[]`:                                    "not a JSON object",
		`{"found":"yes"}`:                       "found",
		`{"found":true}`:                        "data: missing",
		`{"found":true,"data":{"type":"time"}}`: "token",
		`{"found":true,"token":5,"data":{"type":0}}`: "token",
		`{"found":true,"token":"t","data":{}}`:       "data.type: missing",
		`{"found":true,"token":"t","data":[]}`:       "not a JSON object",
		data(`"type":3`):                             "given twice",
		data(`"time_secs":-1`):                       "data.time_secs: -1 is negative",
		data(`"time_secs":1.5`):                      "data.time_secs",
		data(`"time_used_secs":-0.5`):                "data.time_used_secs: -0.5 is negative",
		data(`"time_used_secs":1e99`):                "data.time_used_secs",
		data(`"data_bytes":NaN`):                     "not a JSON value",
		data(`"data_bytes":-1`):                      "data.data_bytes: -1 is negative",
		data(`"data_used_bytes":"5"`):                "data.data_used_bytes",
		data(`"down_bps":1e30`):                      "data.down_bps",
		data(`"exp_days":-1`):                        "data.exp_days: -1 is negative",
		data(`"started_at":"yesterday"`):             "data.started_at",
		data(`"use_global_speed":1`):                 "data.use_global_speed",
		`{"found":true}` + `{}`:                      "follows",
		strings.Repeat(" ", maxProviderAnswer+1):     "more than",
	} {
		_, ok, err := serveAnswer(t, text(body)).GetSession(t.Context(), someDevice)
		if ok {
			t.Errorf("%.60s: taken for a session", body)
		}
		apitest.WantCode(t, err, sessions.Unavailable, "odd", words)
	}
}

func TestProviderAnswersAreRead(t *testing.T) {
	p := serveAnswer(t, text(`{"found":true,"token":"t7","new":"ignored","data":{"provider":"x","type":2,"time_secs":60,
		"time_used_secs":1.25,"data_bytes":5,"data_used_bytes":1,"started_at":"2026-01-02T03:04:05Z","exp_days":null,"color":"ignored"}}`))
	got, ok, err := p.GetSession(t.Context(), someDevice)
	want := sessions.ProvidedSession{Token: "t7", Data: sessions.SessionData{
		Provider: "x", Type: sessions.TimeOrData, Time: time.Minute, TimeUsed: 1250 * time.Millisecond,
		Bytes: 5, Used: 1, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Errorf("ok %v, %v, %s", ok, err, diff)
	}
	if _, ok, err := serveAnswer(t, text(`{"found":false}`)).GetSession(t.Context(), someDevice); ok || err != nil {
		t.Errorf("nothing found is %v, %v", ok, err)
	}
	if err := serveAnswer(t, text(``)).Save(t.Context(), "t", sessions.SessionData{}); err != nil {
		t.Errorf("an empty answer to a save: %v", err)
	}
}

func TestProviderTimeOut(t *testing.T) {
	release := make(chan struct{})
	p := serveAnswer(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := p.GetSession(ctx, someDevice)
	apitest.WantCode(t, err, sessions.Unavailable, "odd", "in time")
}

func TestProviderGone(t *testing.T) {
	p := DialProvider(sessions.ProviderRecord{Name: "gone", Socket: filepath.Join(t.TempDir(), "s")})
	_, _, err := p.GetSession(t.Context(), someDevice)
	apitest.WantCode(t, err, sessions.Unavailable, "gone", "not running")
}

func TestProviderErrorsKeepTheirCode(t *testing.T) {
	p := serveAnswer(t, func(w http.ResponseWriter, _ *http.Request) {
		wire.WriteProblem(w, wire.ProblemFrom(sessions.Errorf(sessions.NotFound, "no such token")))
	})
	_, err := p.Reload(t.Context(), "t")
	apitest.WantCode(t, err, sessions.NotFound, "odd", "no such token")
	p = serveAnswer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	_, err = p.Reload(t.Context(), "t")
	apitest.WantCode(t, err, sessions.Internal, "302")
}

// The kind of fault: what nothing is asked of can die unnoticed. The outage of a provider
// without customers is known within two seconds, by itself, and so is its end.
func TestDeadProviderIsNoticedWithoutACall(t *testing.T) {
	a := startAgent(t, Options{})
	socket := filepath.Join(t.TempDir(), "shop.sock")
	shop := func() *http.Server {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
		go func() { _ = s.Serve(ln) }()
		return s
	}
	running := shop()
	apitest.Must(a.client.RegisterProvider(t.Context(), api.Provider{Name: "shop", Socket: socket}))(t)
	outages := func() []sessions.Outage { return apitest.Must(a.Summary(t.Context()))(t).Outages }
	if list := outages(); len(list) != 0 {
		t.Fatalf("one that listens: %+v", list)
	}
	for range 2 {
		_ = running.Close()
		sessionstest.WaitFor(t, "the outage", func() bool { return len(outages()) == 1 })
		if down := outages(); len(down) == 1 && (down[0].Provider != "shop" || down[0].Since.IsZero() || !strings.Contains(down[0].Cause.Error(), "not running")) {
			t.Errorf("the outage is %+v", down[0])
		}
		running = shop()
		sessionstest.WaitFor(t, "its end", func() bool { return len(outages()) == 0 })
	}
	_ = running.Close()
}
