// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// route is one endpoint. The table is all there is: openapi.json is held against it.
type route struct {
	method, path string
	query        []string // the query parameters it knows
	handler      handler
}

// handler does one request. It writes nothing itself, except a stream, which
// returns a nil reply.
type handler func(*call) (*reply, error)

// call is one request as handlers see it.
type call struct {
	*http.Request
	w    http.ResponseWriter
	args url.Values // the query
	body []byte
}

type (
	verb   = func(context.Context, sessions.DeviceID, string) (sessions.Status, error)
	picker = func(context.Context, sessions.DeviceID) (sessions.Session, error)
)

// reply is an answer of JSON; a nil body sends none.
type reply struct {
	status   int
	location string
	body     any
}

func ok(body any) (*reply, error) { return &reply{status: http.StatusOK, body: body}, nil }

func created(location string, body any) (*reply, error) {
	return &reply{status: http.StatusCreated, location: location, body: body}, nil
}

func done() (*reply, error) { return &reply{status: http.StatusNoContent}, nil }

func (s *Server) routes() []route {
	return []route{
		{"GET", "/openapi.json", nil, s.openAPI},
		{"GET", "/v1/status", nil, s.agentStatus},
		{"GET", "/v1/devices", nil, s.devices},
		{"POST", "/v1/devices", nil, s.createDevice},
		{"GET", "/v1/devices/{device}", nil, s.device},
		{"PATCH", "/v1/devices/{device}", nil, s.updateDevice},
		{"POST", "/v1/devices/{device}/connect", nil, s.connect},
		{"POST", "/v1/devices/{device}/disconnect", nil, s.disconnect},
		{"GET", "/v1/devices/{device}/status", nil, s.deviceStatus},
		{"GET", "/v1/devices/{device}/session", nil, s.currentSession},
		{"GET", "/v1/devices/{device}/available-session", nil, s.availableSession},
		{"GET", "/v1/resolve", []string{"ip"}, s.resolve},
		{"GET", "/v1/sessions", []string{"device", "state"}, s.sessions},
		{"POST", "/v1/sessions", nil, s.createSession},
		{"GET", "/v1/sessions/{id}", nil, s.session},
		{"PATCH", "/v1/sessions/{id}", nil, s.updateSession},
		{"DELETE", "/v1/sessions/{id}", nil, s.deleteSession},
		{"DELETE", "/v1/sessions/{id}/claim", nil, s.revokeClaim},
		{"POST", "/v1/claims", nil, s.claim},
		{"GET", "/v1/export", []string{"all"}, s.export},
		{"POST", importPath, nil, s.importSessions},
		{"GET", pathEvents, []string{"after", "follow"}, s.events},
		{"GET", "/v1/providers", nil, s.providers},
		{"POST", "/v1/providers", nil, s.registerProvider},
		{"DELETE", "/v1/providers/{name}", nil, s.unregisterProvider},
	}
}

// asks are the routes that read and may store something all the same: who has an
// address may be a new device, and what providers have to sell is kept.
var asks = []string{"/v1/resolve", "/v1/devices/{device}/available-session"}

// needs is the role that a route needs.
func (r route) needs() role {
	if isWrite(r.method) || slices.Contains(asks, r.path) {
		return operator
	}
	return viewer
}

// handle wraps a route's handler: permission, query, body, answer.
func (s *Server) handle(route route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.run(route, w, r)
		switch {
		case err != nil:
			s.refuse(w, r, err)
		case answer != nil:
			write(w, answer)
		}
	}
}

func (s *Server) run(route route, w http.ResponseWriter, r *http.Request) (*reply, error) {
	guest := s.guestOf(r.Context())
	if err := guest.caller.mustBe(route.needs(), r.Method+" "+route.path); err != nil {
		return nil, err
	}
	if err := refuseForms(r); err != nil {
		return nil, err
	}
	end, err := s.begin(w, guest, route)
	if err != nil {
		return nil, err
	}
	defer end()
	args, err := queryOf(r, route.query)
	if err != nil {
		return nil, err
	}
	// A connection without deadlines, as tests have, needs none.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.opts.WriteTimeout))
	body, err := readBody(w, r, s.bodyLimit(route))
	if err != nil {
		return nil, err
	}
	_ = control.SetReadDeadline(time.Time{})
	return route.handler(&call{Request: r, w: w, args: args, body: body})
}

func queryOf(r *http.Request, known []string) (url.Values, error) {
	args, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, sessions.Invalidf("query", "%q is not a query: %v", r.URL.RawQuery, err)
	}
	for name, values := range args {
		if !slices.Contains(known, name) {
			return nil, sessions.Invalidf(name, "unknown parameter, with value %q (known: %s)", strings.Join(values, ","), strings.Join(known, ", "))
		}
	}
	return args, nil
}

func write(w http.ResponseWriter, answer *reply) {
	if answer.location != "" {
		w.Header().Set("Location", answer.location)
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	writeBody(w, answer.status, answer.body)
}

// refuse answers with a problem, and logs what the client is not told.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	problem := problemFrom(err)
	if problem.Code == sessions.Internal {
		s.opts.Log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", errorForLog(err))
	}
	writeProblem(w, problem)
}

// noRoute tells a wrong path from a wrong method.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, problemFrom(sessions.Errorf(sessions.NotFound, "there is nothing at %s; /openapi.json lists what there is", r.URL.Path)))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem := problemFrom(sessions.Invalidf("method", "%s is not possible on %s (possible: %s)", r.Method, r.URL.Path, strings.Join(allowed, ", ")))
	problem.Status, problem.Title = http.StatusMethodNotAllowed, "Method not allowed"
	writeProblem(w, problem)
}

// errorForLog adds the cause that the message leaves out.
func errorForLog(err error) string {
	text := err.Error()
	var own *sessions.Error
	if errors.As(err, &own) && own.Err != nil && !strings.Contains(text, own.Err.Error()) {
		return text + ": " + own.Err.Error()
	}
	return text
}
