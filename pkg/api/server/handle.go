// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

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
	conn := connOf(r.Context(), s.roles)
	if err := conn.caller.mustBe(route.needs(), r.Method+" "+route.path); err != nil {
		return nil, err
	}
	if err := refuseForms(r); err != nil {
		return nil, err
	}
	end, err := s.begin(w, conn, route)
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
	body, err := wire.ReadBody(w, r, cmp.Or(route.maxBody, s.opts.MaxBody))
	if err != nil {
		return nil, err
	}
	_ = control.SetReadDeadline(time.Time{})
	c := &call{Request: r, w: w, caller: conn.caller, args: args, body: body}
	if isWrite(route.method) && len(r.Header.Values(wire.HeaderKey)) > 0 {
		return s.retries.once(c, route)
	}
	return route.handler(c)
}

// begin gives a request its place. A stream gives its connection's back, so that
// streams take no places from other connections.
func (s *Server) begin(w http.ResponseWriter, c *conn, route route) (end func(), err error) {
	places, what := s.requests, "requests"
	if route.stream {
		c.leave()
		w.Header().Set("Connection", "close") // it has no place for another request
		places, what = s.streams, "streams of events"
	}
	end, ok := places.take(c.caller)
	if !ok {
		return nil, sessions.Errorf(sessions.Unavailable, "too many %s at a time; try again later", what)
	}
	return end, nil
}

// refuse answers with a problem, and logs what the answer leaves out.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	problem := wire.ProblemFrom(err)
	if errors.As(err, &reusedKey{}) {
		problem = wire.ProblemFrom(sessions.Errorf(sessions.Conflict, "%s", err))
		problem.Status, problem.Title, problem.Field = http.StatusUnprocessableEntity, "Key of another request", wire.HeaderKey
	}
	if problem.Code == sessions.Internal {
		s.opts.Log.Error("api request failed", "method", r.Method, "path", r.URL.Path, "err", errorForLog(err))
	}
	wire.WriteProblem(w, problem)
}

// noRoute answers a request without a route: it distinguishes a wrong path and a wrong method.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		wire.WriteProblem(w, wire.ProblemFrom(sessions.Errorf(sessions.NotFound, "no endpoint has the path %s; /openapi.json lists them", r.URL.Path)))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem := wire.ProblemFrom(sessions.Invalidf("method", "%s is not possible on %s (possible: %s)", r.Method, r.URL.Path, strings.Join(allowed, ", ")))
	problem.Status, problem.Title = http.StatusMethodNotAllowed, "Method not allowed"
	wire.WriteProblem(w, problem)
}
