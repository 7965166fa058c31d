// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.json is no OpenAPI document: %v", err)
	}
	return document
}

// Every route is described, with its parameters, and nothing else is.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	document := loadDocument(t)
	described := map[string][]string{}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			described[method+" "+path] = queryNames(operation)
		}
	}
	registered := map[string][]string{}
	for _, route := range (&Server{}).routes(backend{}) {
		registered[route.method+" "+route.path] = append([]string{}, route.query...)
	}
	if diff := cmp.Diff(registered, described); diff != "" {
		t.Errorf("routes (-) and openapi.json (+) differ:\n%s", diff)
	}
}

// What the document allows the server takes, and what it forbids the server refuses: of the
// smallest value of each number of a purchase.
func TestOpenAPIMinimaAreTheServers(t *testing.T) {
	a := startAgent(t, Options{})
	for name, property := range loadDocument(t).Components.Schemas["NewSession"].Value.Properties {
		if property.Value.Min == nil {
			continue
		}
		ask := func(value float64) (int, string) {
			fields := map[string]any{"device": firstMAC, "type": "time_or_data", "time_secs": 60, "data_bytes": 1e6}
			fields[name] = value
			body, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			answer, problem := a.ask("POST", "/v1/sessions", string(body), nil)
			return answer.StatusCode, problem.Detail
		}
		if status, detail := ask(*property.Value.Min - 1); status != http.StatusBadRequest {
			t.Errorf("%s: %v is answered %d %s", name, *property.Value.Min-1, status, detail)
		}
		if status, detail := ask(*property.Value.Min); status != http.StatusCreated && !strings.Contains(detail, "no allowance") {
			t.Errorf("%s: %v is answered %d %s", name, *property.Value.Min, status, detail)
		}
	}
}

// Every request that changes something takes an Idempotency-Key.
func TestOpenAPIHasKeysForWrites(t *testing.T) {
	for path, item := range loadDocument(t).Paths.Map() {
		for method, operation := range item.Operations() {
			keyed := slices.ContainsFunc(operation.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == wire.HeaderKey })
			if keyed != isWrite(method) {
				t.Errorf("%s %s: described with an Idempotency-Key: %v", method, path, keyed)
			}
		}
	}
}

func queryNames(operation *openapi3.Operation) []string {
	names := []string{}
	for _, parameter := range operation.Parameters {
		if parameter.Value.In == "query" {
			names = append(names, parameter.Value.Name)
		}
	}
	return names
}

// The codes in the document are those that the server has.
func TestOpenAPIListsTheCodes(t *testing.T) {
	document := loadDocument(t)
	var described, known []string
	for _, code := range document.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		described = append(described, code.(string))
	}
	for _, code := range wire.Codes() {
		known = append(known, string(code))
	}
	slices.Sort(described)
	slices.Sort(known)
	if diff := cmp.Diff(known, described); diff != "" {
		t.Error(diff)
	}
}

// The types of events in the document are those that are stored.
func TestOpenAPIListsTheEvents(t *testing.T) {
	var described, known []string
	for _, kind := range loadDocument(t).Components.Schemas["Event"].Value.Properties["type"].Value.Enum {
		described = append(described, kind.(string))
	}
	for _, kind := range sessions.EventTypes() {
		known = append(known, string(kind))
	}
	slices.Sort(described)
	slices.Sort(known)
	if diff := cmp.Diff(known, described); diff != "" {
		t.Errorf("sessions.EventTypes (-) and openapi.json (+) differ:\n%s", diff)
	}
}

// checkedTransport validates every request and answer against the document.
type checkedTransport struct {
	t      *testing.T
	router routers.Router
	next   http.RoundTripper
	seen   map[string]bool // operations that were answered

	badRequests bool // what is sent need not be as described
}

func (c *checkedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	input, err := c.input(r)
	if err != nil {
		return nil, err
	}
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	wire.CloseQuietly(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(answer.Header.Get("Content-Type"), wire.TypeLines) {
		c.checkLines(input, body)
	} else {
		c.check(input, answer, body)
	}
	c.seen[fmt.Sprint(input.Route.Operation.OperationID, " ", answer.StatusCode)] = true
	return answer, nil
}

func (c *checkedTransport) input(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	// The original is sent on; the copy is for the check.
	r.Body = io.NopCloser(bytes.NewReader(body))
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := c.router.FindRoute(copied)
	if err != nil {
		return nil, fmt.Errorf("%s %s is not described: %w", r.Method, r.URL.Path, err)
	}
	input := &openapi3filter.RequestValidationInput{Request: copied, PathParams: params, Route: route}
	valid := openapi3filter.ValidateRequest(r.Context(), input)
	if !c.badRequests && valid != nil {
		c.t.Errorf("%s %s: the document does not allow this request: %v", r.Method, r.URL.Path, valid)
	}
	return input, nil
}

func (c *checkedTransport) check(input *openapi3filter.RequestValidationInput, answer *http.Response, body []byte) {
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		c.t.Errorf("%s %s: the answer is not as described: %v", input.Request.Method, input.Request.URL.Path, err)
	}
}

func (c *checkedTransport) checkLines(input *openapi3filter.RequestValidationInput, body []byte) {
	schema := input.Route.Operation.Responses.Value("200").Value.Content[wire.TypeLines].Schema.Value
	for line := range strings.Lines(string(body)) {
		var value any
		if err := decodeJSON(line, &value); err != nil {
			c.t.Errorf("%q is no JSON: %v", line, err)
		} else if err := schema.VisitJSON(value); err != nil {
			c.t.Errorf("event %s is not as described: %v", line, err)
		}
	}
}

// checked makes an agent whose client's calls are all validated.
func checked(t *testing.T) (*testAgent, *checkedTransport) {
	t.Helper()
	openapi3filter.RegisterBodyDecoder(wire.TypeProblem, openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder(wire.TypeCaptive, openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder(wire.TypeLines, openapi3filter.FileBodyDecoder)
	router, err := gorillamux.NewRouter(loadDocument(t))
	if err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, Options{})
	a.Neighbors[netip.MustParseAddr(firstIP)] = dataplane.MAC{2, 0, 0, 0, 0, 1}
	transport := &checkedTransport{t: t, router: router, next: wire.SocketTransport(a.Socket(), 0), seen: map[string]bool{}}
	a.client = api.NewClient(serveProxy(t, transport))
	return a, transport
}

// serveProxy passes what comes on a socket to a transport.
func serveProxy(t *testing.T, transport http.RoundTripper) (socket string) {
	t.Helper()
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "localhost", "localhost"
	}}
	return serveProvider(t, proxy.ServeHTTP)
}

// Every endpoint, called by the client in a customer's life: requests and answers
// are what the document says, and no operation is left out.
func TestHandlersAnswerAsDescribed(t *testing.T) {
	a, transport := checked(t)
	ctx, c := t.Context(), a.client

	apitest.Must(c.OpenAPI(ctx))(t)
	apitest.Must(c.Status(ctx))(t)
	device := apitest.Must(c.Resolve(ctx, firstIP))(t)
	if device.MAC != firstMAC || device.IP != firstIP || !device.Visitor {
		t.Errorf("%s resolves to %+v", firstIP, device)
	}
	apitest.Must(c.Captive(ctx, firstIP, api.CaptivePages{Portal: "https://portal.example/", CanExtend: true}))(t)
	if garden := apitest.Must(c.Garden(ctx))(t); len(garden.Addresses) != 1 {
		t.Errorf("the walled garden is %+v", garden)
	}
	if test := apitest.Must(c.TestGarden(ctx, "pay.example"))(t); !test.Matches {
		t.Errorf("the test of a name is %+v", test)
	}
	apitest.Must(c.CreateDevice(ctx, api.NewDevice{MAC: "02-00-00-00-00-02", IP: "fd00::2", Hostname: "phone"}))(t)
	apitest.Must(c.CreateDevice(ctx, api.NewDevice{MAC: secondMAC}))(t)
	if devices := apitest.Must(c.Devices(ctx))(t); len(devices) != 1 {
		t.Errorf("devices are %+v, want the one that was registered", devices)
	}
	name := "tablet"
	if updated := apitest.Must(c.UpdateDevice(ctx, firstIP, api.DevicePatch{Hostname: &name}))(t); updated.Hostname != name {
		t.Errorf("the hostname is %q, want %q", updated.Hostname, name)
	}
	if found := apitest.Must(c.Device(ctx, "0200.0000.0001"))(t); found.ID != device.ID {
		t.Errorf("the MAC finds %+v, want device %d", found, device.ID)
	}
	days := uint(30)
	sold := apitest.Must(c.CreateSession(ctx, api.NewSession{Device: firstMAC, Type: "time_or_data", TimeSecs: 60, DataBytes: 1e6, ExpDays: &days, DownBPS: 5e6, UpBPS: 3e6}))(t)
	if next := apitest.Must(c.AvailableSession(ctx, firstMAC))(t); !cmp.Equal(next, sold.Session) {
		t.Errorf("available is %+v, want what was sold: %+v", next, sold)
	}
	if status := apitest.Must(c.Connect(ctx, firstMAC, "welcome"))(t); !status.Connected || status.Session == nil || !a.passes(firstMAC) {
		t.Errorf("after Connect the status is %+v", status)
	}
	running := apitest.Must(c.CurrentSession(ctx, firstMAC))(t)
	if running.State != sessions.Running || running.StartedAt == nil || running.ExpiresAt == nil {
		t.Errorf("running session is %+v", running)
	}
	apitest.Must(c.DeviceStatus(ctx, firstMAC))(t)
	more := int64(60)
	patched := apitest.Must(c.UpdateSession(ctx, sold.ID, api.SessionPatch{AddTimeSecs: &more, ExpDays: api.Expiry{Set: true}}))(t)
	if patched.TimeSecs != 120 || patched.ExpDays != nil || patched.ExpiresAt != nil {
		t.Errorf("after a top-up without expiry the session is %+v", patched)
	}
	if status := apitest.Must(c.Disconnect(ctx, firstMAC, ""))(t); status.Connected || a.passes(firstMAC) {
		t.Errorf("after Disconnect the status is %+v", status)
	}
	if list := apitest.Must(c.Sessions(ctx, api.SessionQuery{Device: firstIP, States: []sessions.State{sessions.Paused, sessions.Running}}))(t); len(list) != 1 {
		t.Errorf("the device's paused sessions are %+v, want one", list)
	}
	apitest.Must(c.Session(ctx, sold.ID))(t)
	var lines bytes.Buffer
	if err := c.Export(ctx, true, &lines); err != nil {
		t.Error(err)
	}
	if done := apitest.Must(c.Import(ctx, lines.Bytes()))(t); done != (api.Imported{Known: 1}) {
		t.Errorf("importing what was exported: %+v", done)
	}
	if moved := apitest.Must(c.MoveSession(ctx, sold.ID, secondMAC))(t); moved.DeviceID == device.ID {
		t.Errorf("moved to another device the session is %+v", moved)
	}
	if back := apitest.Must(c.Claim(ctx, sold.Claim, firstMAC))(t); back.DeviceID != device.ID {
		t.Errorf("claimed back the session is %+v", back)
	}
	apitest.Must(c.RenewClaim(ctx, sold.ID))(t)
	if err := c.RevokeClaim(ctx, sold.ID); err != nil {
		t.Error(err)
	}
	if _, next, err := c.SessionPage(ctx, api.SessionQuery{Query: "02:00:00", Newest: true, Since: sold.CreatedAt, Limit: 1}); err != nil || next != "" {
		t.Errorf("the only session is a page with the next one at %q, %v", next, err)
	}
	apitest.WantCode(t, c.DeleteDevice(ctx, firstMAC), sessions.Conflict, fmt.Sprintf("session %d (paused)", sold.ID))
	if err := c.DeleteSession(ctx, sold.ID); err != nil {
		t.Error(err)
	}
	if err := c.DeleteDevice(ctx, secondMAC); err != nil {
		t.Error(err)
	}
	apitest.Must(c.RegisterProvider(ctx, api.Provider{Name: "shop", Socket: "/nowhere/s"}))(t)
	if list := apitest.Must(c.Providers(ctx))(t); !cmp.Equal(list, []api.Provider{{Name: "shop", Socket: "/nowhere/s"}}) {
		t.Errorf("providers are %+v", list)
	}
	if err := c.UnregisterProvider(ctx, "shop"); err != nil {
		t.Error(err)
	}
	if events := apitest.Must(c.StoredEvents(ctx, 0))(t); len(events) < 8 {
		t.Errorf("events are %+v, want one for each transition", events)
	}
	for _, route := range (&Server{}).routes(backend{}) {
		id := transport.operation(t, route)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(transport.seen)), func(s string) bool { return strings.HasPrefix(s, id+" 20") }) {
			t.Errorf("%s %s was not called", route.method, route.path)
		}
	}
	if !transport.seen["createDevice 200"] || !transport.seen["createDevice 201"] {
		t.Errorf("a device was not both made (201) and found (200): %v", transport.seen)
	}
}

func (c *checkedTransport) operation(t *testing.T, r route) string {
	t.Helper()
	return loadDocument(t).Paths.Value(r.path).GetOperation(r.method).OperationID
}

// Errors are problem documents, whose code and field the client gives back.
func TestErrorsAreAsDescribed(t *testing.T) {
	a, transport := checked(t)
	transport.badRequests = true
	ctx := t.Context()
	device := apitest.Must(a.client.CreateDevice(ctx, api.NewDevice{MAC: firstMAC}))(t)
	apitest.Must(a.client.CreateDevice(ctx, api.NewDevice{MAC: secondMAC}))(t)
	sold := a.sell(firstMAC)
	for _, test := range []struct {
		method, path, body string
		code               sessions.Code
		field, words       string
	}{
		{"GET", "/v1/devices/99", "", sessions.NotFound, "", "99"},
		{"GET", "/v1/devices/02:00:00:00:00:99", "", sessions.NotFound, "", "02:00:00:00:00:99"},
		{"GET", "/v1/devices/unknown/status", "", sessions.Invalid, "device", "unknown"},
		{"GET", "/v1/devices/2/session", "", sessions.NotConnected, "", "no running session"},
		{"GET", "/v1/devices/2/available-session", "", sessions.NoSession, "", "nothing to consume"},
		{"POST", "/v1/devices/2/connect", "", sessions.NoSession, "", "nothing to consume"},
		{"POST", "/v1/devices/2/connect", `{"notify":5}`, sessions.Invalid, "notify", "5"},
		{"POST", "/v1/devices", `{"mac":"01:00:5e:00:00:01"}`, sessions.Invalid, "mac", "multicast"},
		{"POST", "/v1/devices", `{"mac":"ff:ff:ff:ff:ff:ff"}`, sessions.Invalid, "mac", "broadcast"},
		{"POST", "/v1/devices", `{"mac":"02:00:00"}`, sessions.Invalid, "mac", "02:00:00"},
		{"POST", "/v1/devices", `{"mac":"02:00:00:00:00:03","ip":"10.0.0"}`, sessions.Invalid, "ip", "10.0.0"},
		{"PATCH", "/v1/devices/2", `{"mac":"` + firstMAC + `"}`, sessions.Conflict, "", firstMAC},
		{"PATCH", "/v1/devices/2", `{"name":"x"}`, sessions.Invalid, "name", "x"},
		{"GET", "/v1/garden/no..name", "", sessions.Invalid, "name", "no..name"},
		{"GET", "/v1/resolve?ip=10.9.9.9", "", sessions.NotFound, "", "10.9.9.9"},
		{"GET", "/v1/resolve?ip=ten", "", sessions.Invalid, "ip", "ten"},
		{"GET", "/v1/resolve", "", sessions.Invalid, "ip", ""},
		{"GET", "/v1/sessions?state=asleep", "", sessions.Invalid, "state", "asleep"},
		{"GET", "/v1/sessions?limit=0", "", sessions.Invalid, "limit", "0"},
		{"GET", "/v1/devices?limit=1001", "", sessions.Invalid, "limit", "1001"},
		{"GET", "/v1/devices?cursor=x", "", sessions.Invalid, "cursor", "x"},
		{"GET", "/v1/devices?sort=mac", "", sessions.Invalid, "sort", "mac"},
		{"GET", "/v1/sessions?since=monday", "", sessions.Invalid, "since", "monday"},
		{"DELETE", "/v1/devices/99", "", sessions.NotFound, "", "99"},
		{"DELETE", "/v1/devices/1", "", sessions.Conflict, "", "session 1 (available)"},
		{"GET", "/v1/sessions?color=red", "", sessions.Invalid, "color", "red"},
		{"GET", "/v1/sessions/0", "", sessions.Invalid, "id", "0"},
		{"GET", "/v1/sessions/999", "", sessions.NotFound, "", "999"},
		{"GET", "/v1/sessions/9223372036854775808", "", sessions.Invalid, "id", "9223372036854775808"},
		{"POST", "/v1/sessions", `{"device":99,"type":"time","time_secs":60}`, sessions.NotFound, "", "99"},
		{"POST", "/v1/sessions", `{"device":1,"type":"time"}`, sessions.Invalid, "time_secs", "0"},
		{"POST", "/v1/sessions", `{"device":1,"type":"data","data_bytes":-5}`, sessions.Invalid, "data_bytes", "-5"},
		{"PATCH", "/v1/sessions/1", `{"add_time_secs":9223372036}`, sessions.Invalid, "add_time_secs", ""},
		{"PATCH", "/v1/sessions/999", `{"add_time_secs":5}`, sessions.NotFound, "", "999"},
		{"DELETE", "/v1/sessions/999", "", sessions.NotFound, "", "999"},
		{"DELETE", "/v1/sessions/999/claim", "", sessions.NotFound, "", "999"},
		{"PATCH", "/v1/sessions/1", `{"device":99}`, sessions.NotFound, "", "99"},
		{"PATCH", "/v1/sessions/1", `{"device":2,"down_bps":1000}`, sessions.Invalid, "device", "2"},
		{"PATCH", "/v1/sessions/999", `{"device":2}`, sessions.NotFound, "", "999"},
		{"POST", "/v1/claims", `{"code":"0000-0000-0000","device":2}`, sessions.NotFound, "", "code"},
		{"POST", "/v1/claims", `{"device":2}`, sessions.Invalid, "code", "missing"},
		{"POST", "/v1/claims", `{"code":"0000-0000-0000"}`, sessions.Invalid, "device", "missing"},
		{"DELETE", "/v1/providers/unknown", "", sessions.NotFound, "", "unknown"},
		{"POST", "/v1/providers", `{"name":"local","socket":"/s"}`, sessions.Invalid, "name", "local"},
		{"GET", "/v1/export?all=perhaps", "", sessions.Invalid, "all", "perhaps"},
		{"POST", "/v1/import", `{"mac":"x"}`, sessions.Invalid, "created_at", "line 1"},
		{"GET", "/v1/events?after=-1", "", sessions.Invalid, "after", "-1"},
		{"GET", "/v1/events?after=x", "", sessions.Invalid, "after", "x"},
		{"GET", "/v1/events?after=999", "", sessions.Gone, "", "999"},
		{"GET", "/v1/events?after=1&generation=0123456789abcdef", "", sessions.Gone, "", "another database"},
		{"GET", "/v1/events?generation=12", "", sessions.Invalid, "generation", "12"},
		{"GET", "/v1/events?type=session.lower", "", sessions.Invalid, "type", "session.lower"},
		{"GET", "/v1/events?device=99", "", sessions.NotFound, "", "99"},
		{"GET", "/v1/events?follow=perhaps", "", sessions.Invalid, "follow", "perhaps"},
	} {
		var body any
		if test.body != "" {
			body = rawJSON(test.body)
		}
		_, err := a.client.Do(ctx, test.method, test.path, body)
		apitest.WantCode(t, err, test.code, test.words)
		var own *sessions.Error
		if asError(err, &own) && own.Field != test.field {
			t.Errorf("%s %s %s: field is %q, want %q", test.method, test.path, test.body, own.Field, test.field)
		}
	}
	if left := apitest.Must(a.client.Sessions(ctx, api.SessionQuery{}))(t); !cmp.Equal(left, []api.Session{sold}) {
		t.Errorf("refused input changed the sessions: %+v", left)
	}
	if left := apitest.Must(a.client.Devices(ctx))(t); len(left) != 2 || !cmp.Equal(left[0], device) {
		t.Errorf("refused input changed the devices: %+v", left)
	}
}
