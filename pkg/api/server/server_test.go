// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// ask sends a request as it is and returns the answer with its problem, if any.
func (a *testAgent) ask(method, path, body string, header http.Header) (*http.Response, wire.Problem) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for name, values := range header {
		if request.Header[name] = values; name == "Host" {
			request.Host = values[0]
		}
	}
	answer, err := wire.SocketTransport(a.Socket(), 0).RoundTrip(request)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer wire.CloseQuietly(answer.Body)
	if answer.Header.Get("Content-Type") == wire.TypeProblem {
		return answer, wire.ParseProblem(answer)
	}
	return answer, wire.Problem{}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	a := startAgent(t, Options{})
	for _, test := range []struct {
		method, path string
		status       int
		code         sessions.Code
		allow        string
	}{
		{"GET", "/", 404, sessions.NotFound, ""},
		{"GET", "/v2/status", 404, sessions.NotFound, ""},
		{"POST", "/v1/devices/1/explode", 404, sessions.NotFound, ""},
		{"DELETE", "/v1/devices", 405, sessions.Invalid, "GET, POST"},
		{"PUT", "/v1/sessions/1", 405, sessions.Invalid, "GET, PATCH, DELETE"},
		{"POST", "/v1/status", 405, sessions.Invalid, "GET"},
	} {
		answer, problem := a.ask(test.method, test.path, "", nil)
		if answer.StatusCode != test.status || problem.Status != test.status || problem.Code != test.code || answer.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %+v, Allow %q; want %d %s, Allow %q", test.method, test.path,
				answer.StatusCode, problem, answer.Header.Get("Allow"), test.status, test.code, test.allow)
		}
	}
}

func TestBrowsersAreRefused(t *testing.T) {
	a := startAgent(t, Options{})
	for _, test := range []struct {
		name, value string
		status      int
	}{
		{"Origin", "http://evil.example", 403},
		{"Origin", "null", 403},
		{"Referer", "http://evil.example/page", 403},
		{"Sec-Fetch-Site", "cross-site", 403},
		{"Sec-Fetch-Site", "same-origin", 403}, // as of a page that was rebound
		{"Sec-Fetch-Site", "none", 403},
		{"Sec-Fetch-Mode", "cors", 200}, // the fetch of Node 18 and later says no more
		{"Host", "evil.example", 403},
		{"Host", "192.0.2.1", 403},
		{"Host", "localhost:80", 200},
		{"Host", "127.0.0.1", 200},
		{"Host", "[::1]:8080", 200},
		{"Host", "agent", 200},
		{"Host", "agent.sock", 200},
		{"Host", "Hotspot-Agent.Sock:80", 200},
		{"Host", "router.internal", 200},
		{"Host", "%2Frun%2Fhotspot-agent%2Fagent.sock", 200},
		{"Host", "sock.evil.example", 403},
		{"Host", "agent.sock.evil.example", 403},
		{"Host", "agent.sock.", 403}, // a dot at the end makes the label empty
	} {
		answer, problem := a.ask("GET", "/v1/status", "", http.Header{test.name: {test.value}})
		if answer.StatusCode != test.status {
			t.Errorf("%s %s: %d %+v, want %d", test.name, test.value, answer.StatusCode, problem, test.status)
		}
		if test.status == 403 && (problem.Code != sessions.Forbidden || !strings.Contains(problem.Detail, strings.Split(test.value, ":")[0])) {
			t.Errorf("%s %s: %+v, want forbidden with the value", test.name, test.value, problem)
		}
	}
}

// A path with a slash too many is the same endpoint, also for a method that a redirect
// would change.
func TestSlashesTooMany(t *testing.T) {
	a := startAgent(t, Options{})
	a.sell(firstMAC)
	for _, route := range (&Server{}).routes(backend{}) {
		if route.method != "GET" || route.stream {
			continue
		}
		path := strings.NewReplacer("{device}", "1", "{id}", "1").Replace(route.path)
		want, _ := a.ask("GET", path, "", nil)
		for _, other := range []string{path + "/", "/" + path, strings.Replace(path, "/", "//", 2)} {
			if answer, problem := a.ask("GET", other, "", nil); answer.StatusCode != want.StatusCode {
				t.Errorf("GET %s: %d %+v, want %d", other, answer.StatusCode, problem, want.StatusCode)
			}
		}
	}
	for _, path := range []string{"/v1/sessions/", "//v1/sessions"} {
		answer, problem := a.ask("POST", path, `{"device":1,"type":"time","time_secs":60}`, nil)
		if answer.StatusCode != http.StatusCreated {
			t.Errorf("POST %s: %d %+v", path, answer.StatusCode, problem)
		}
	}
}

// RFC 7396 is what PATCH does, null for exp_days included; a POST of it is none.
func TestMergePatch(t *testing.T) {
	a := startAgent(t, Options{})
	a.sell(firstMAC)
	patch := http.Header{"Content-Type": {"application/merge-patch+json; charset=utf-8"}}
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"PATCH", "/v1/sessions/1", `{"add_time_secs":60,"exp_days":null}`, 200},
		{"PATCH", "/v1/devices/1", `{"hostname":"phone"}`, 200},
		{"POST", "/v1/devices", `{"mac":"` + secondMAC + `"}`, 400},
	} {
		if answer, problem := a.ask(test.method, test.path, test.body, patch); answer.StatusCode != test.status {
			t.Errorf("%s %s: %d %+v, want %d", test.method, test.path, answer.StatusCode, problem, test.status)
		}
	}
}

func TestCreationSaysWhere(t *testing.T) {
	a := startAgent(t, Options{})
	for _, test := range []struct{ path, body, location string }{
		{"/v1/devices", `{"mac":"` + firstMAC + `"}`, "/v1/devices/1"},
		{"/v1/sessions", `{"device":1,"type":"time","time_secs":60}`, "/v1/sessions/1"},
		{"/v1/sessions", `{"device":"` + secondMAC + `","type":1,"data_bytes":5}`, "/v1/sessions/2"},
		{"/v1/providers", `{"name":"a shop","socket":"/s"}`, "/v1/providers/a%20shop"},
	} {
		answer, problem := a.ask("POST", test.path, test.body, nil)
		if answer.StatusCode != http.StatusCreated || answer.Header.Get("Location") != test.location {
			t.Errorf("POST %s: %d %+v at %q, want 201 at %q", test.path, answer.StatusCode, problem, answer.Header.Get("Location"), test.location)
		}
	}
	if found := apitest.Must(a.client.Device(t.Context(), "2"))(t); found.MAC != secondMAC {
		t.Errorf("the MAC that bought became %+v", found)
	}
}

// A purchase that is refused leaves nothing behind, not even its device.
func TestRefusedPurchaseMakesNoDevice(t *testing.T) {
	a := startAgent(t, Options{})
	_, err := a.client.CreateSession(t.Context(), api.NewSession{Device: firstMAC, Type: "data"})
	apitest.WantCode(t, err, sessions.Invalid, "data_bytes")
	_, err = a.client.CreateSession(t.Context(), api.NewSession{Device: "01:00:00:00:00:01", Type: "time", TimeSecs: 5})
	apitest.WantCode(t, err, sessions.Invalid, "device")
	_, err = a.client.CreateSession(t.Context(), api.NewSession{Device: "10.0.0.77", Type: "time", TimeSecs: 5})
	apitest.WantCode(t, err, sessions.NotFound, "10.0.0.77")
	if devices := apitest.Must(a.client.Devices(t.Context()))(t); len(devices) != 0 {
		t.Errorf("devices are %+v, want none", devices)
	}
}

func TestLongBodyIsRefused(t *testing.T) {
	a := startAgent(t, Options{MaxBody: 100})
	answer, problem := a.ask("POST", "/v1/devices", `{"hostname":"`+strings.Repeat("x", 200)+`"}`, nil)
	if answer.StatusCode != http.StatusBadRequest || problem.Field != "body" || !strings.Contains(problem.Detail, "100 bytes") {
		t.Errorf("%d %+v, want 400 about the body", answer.StatusCode, problem)
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	a := startAgent(t, Options{})
	a.Panics = true
	_, err := a.client.Status(t.Context())
	apitest.WantCode(t, err, sessions.Internal, "the agent's log")
	if log := a.log.String(); !strings.Contains(log, "on purpose") || !strings.Contains(log, "apitest") {
		t.Errorf("the log does not contain the panic: %s", log)
	}
	a.Panics = false
	apitest.Must(a.client.Status(t.Context()))(t)
}

// What is internal is logged, and not answered.
func TestInternalErrorsStayInside(t *testing.T) {
	var log apitest.LogBuffer
	agent := apitest.New(t.TempDir())
	agent.StatusErr = fmt.Errorf("disk on fire: %w", errors.New("sector 7"))
	s := New(nil, agent, Options{Log: newLogger(&log)})
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://localhost/v1/status", nil))
	if answer.Code != 500 || strings.Contains(answer.Body.String(), "disk") || !strings.Contains(log.String(), "disk on fire") {
		t.Errorf("%d %s; log %s", answer.Code, answer.Body, log.String())
	}
}

// The client has its whole answer before the log is written.
func TestAnswersDoNotWaitForTheLog(t *testing.T) {
	answer := httptest.NewRecorder()
	log := &logProbe{Handler: slog.DiscardHandler, flushed: func() bool { return answer.Flushed }}
	s := New(nil, apitest.New(t.TempDir()), Options{Log: slog.New(log)})
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://localhost/openapi.json", nil))
	if want := strconv.Itoa(answer.Body.Len()); answer.Header().Get("Content-Length") != want {
		t.Errorf("the answer has %q bytes by its header, want %s", answer.Header().Get("Content-Length"), want)
	}
	if !log.logged || !log.before {
		t.Errorf("logged: %t, sent before: %t", log.logged, log.before)
	}
}

// logProbe notes whether the answer was out when a request was logged.
type logProbe struct {
	slog.Handler
	flushed        func() bool
	logged, before bool
}

func (p *logProbe) Enabled(context.Context, slog.Level) bool { return true }

func (p *logProbe) Handle(context.Context, slog.Record) error {
	p.logged, p.before = true, p.flushed()
	return nil
}

func TestWritesNeedAKnownPeer(t *testing.T) {
	s := New(nil, apitest.New(t.TempDir()), Options{})
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "http://localhost/v1/devices", strings.NewReader(`{}`)))
	if answer.Code != 403 {
		t.Errorf("a write without credentials: %d %s, want 403", answer.Code, answer.Body)
	}
}

func TestWritesAreLoggedWithTheirPeer(t *testing.T) {
	a := startAgent(t, Options{})
	apitest.Must(a.client.CreateDevice(t.Context(), api.NewDevice{MAC: firstMAC}))(t)
	apitest.Must(a.client.Devices(t.Context()))(t)
	sessionstest.WaitFor(t, "the write is logged", func() bool { return strings.Contains(a.log.String(), "method=POST") })
	want := "status=201 took="
	peer := fmt.Sprintf("uid=%d gid=%d pid=%d", os.Geteuid(), os.Getegid(), os.Getpid())
	if log := a.log.String(); !strings.Contains(log, want) || !strings.Contains(log, peer) || strings.Contains(log, "method=GET") {
		t.Errorf("log is %s, want the write with %q and no read", log, peer)
	}
}

func TestMain(m *testing.M) {
	if socket := os.Getenv(asOther); socket != "" {
		os.Exit(callAsOther(socket))
	}
	if socket := os.Getenv(asCrowd); socket != "" {
		os.Exit(crowd(socket))
	}
	os.Exit(m.Run())
}

func TestShutdownEndsServe(t *testing.T) {
	a := startAgent(t, Options{})
	path := a.Socket()
	a.stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
	_, err := a.client.Status(t.Context())
	apitest.WantCode(t, err, sessions.Unavailable, path, "hotspot-agent run")
	a.start()
	apitest.Must(a.client.Status(t.Context()))(t)
}
