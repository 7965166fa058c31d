// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// route is one endpoint.
type route struct {
	method, path string
	query        []string // the query parameters it knows
	handler      handler

	writesOnRead bool  // it may store something although its method is a read
	stream       bool  // it counts as a stream, not as a request
	maxBody      int64 // bytes; 0 for Options.MaxBody

	// sold is the answer to a change of a purchase, made of what was stored.
	sold func(sessions.Purchase) *reply
}

// needs is the role that a route needs.
func (r route) needs() role {
	if isWrite(r.method) || r.writesOnRead {
		return operator
	}
	return viewer
}

// handler does one request. It writes nothing itself, except a stream and a list,
// which return a nil reply.
type handler func(*call) (*reply, error)

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// call is one request as handlers see it.
type call struct {
	*http.Request
	w      http.ResponseWriter
	caller caller
	args   url.Values // the query
	body   []byte
}

// reply is an answer of JSON; a nil body sends none.
type reply struct {
	status   int
	location string
	media    string // type of the body; "" is JSON
	body     any
}

func ok(body any) (*reply, error) { return &reply{status: http.StatusOK, body: body}, nil }

func created(location string, body any) (*reply, error) {
	return &reply{status: http.StatusCreated, location: location, body: body}, nil
}

func done() (*reply, error) { return &reply{status: http.StatusNoContent}, nil }

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
	w.Header().Set("Content-Type", cmp.Or(answer.media, wire.TypeJSON))
	wire.WriteJSON(w, answer.status, answer.body)
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
