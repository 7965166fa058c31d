// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type (
	providerFound struct {
		Found bool               `json:"found"`
		Token string             `json:"token,omitempty"`
		Data  *wire.ProviderData `json:"data,omitempty"`
	}
	providerPage struct {
		Sessions []wire.ProviderData `json:"sessions"`
		Pages    int                 `json:"pages"`
		Count    int                 `json:"count"`
	}
	providerReloaded struct {
		Data *wire.ProviderData `json:"data"`
	}
)

// answer turns a method into a handler: strict JSON in, JSON or a problem out.
func answer(do func(context.Context, *wire.Object) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := wire.ReadBody(w, r, maxAsk)
		var result any
		if err == nil {
			result, err = guarded(r.Context(), wire.ReadObject(body), do)
		}
		if err != nil {
			wire.WriteProblem(w, providerProblem(err))
			return
		}
		w.Header().Set("Content-Type", wire.TypeJSON)
		wire.WriteJSON(w, http.StatusOK, result)
	}
}

// guarded keeps a provider that panics from taking its process along.
func guarded(ctx context.Context, request *wire.Object, do func(context.Context, *wire.Object) (any, error)) (result any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the provider panicked: %v\n%s", cause, debug.Stack())
		}
	}()
	return do(ctx, request)
}

// providerProblem keeps the text of the provider's own errors: the agent logs it.
func providerProblem(err error) wire.Problem {
	problem := wire.ProblemFrom(err)
	if problem.Code == Internal {
		problem.Detail = err.Error()
	}
	return problem
}

func (s *providerServer) getSession(ctx context.Context, request *wire.Object) (any, error) {
	device := readDevice(request)
	if request.Err() != nil {
		return nil, request.Err()
	}
	source, ok := s.provider.GetSession(ctx, s.api.wrap(device))
	if !ok || source == nil {
		return providerFound{}, nil
	}
	data, err := source.Data().domain()
	if err != nil {
		return nil, err
	}
	token := s.sources.token(device.ID, source)
	return providerFound{Found: true, Token: token, Data: s.wire(token, data)}, nil
}

func (s *providerServer) wire(token string, data sessions.SessionData) *wire.ProviderData {
	s.sources.restorePrecision(token, &data)
	wire := wire.ProviderDataOf(data)
	return &wire
}

func (s *providerServer) fetchSessions(ctx context.Context, request *wire.Object) (any, error) {
	device := readDevice(request)
	page, perPage := request.Whole("page", 1, math.MaxInt32), request.Whole("per_page", 1, math.MaxInt32)
	if request.Err() != nil {
		return nil, request.Err()
	}
	result, err := s.provider.FetchSessions(ctx, s.api.wrap(device), int(page), int(perPage))
	if err != nil {
		return nil, err
	}
	answer := providerPage{Sessions: []wire.ProviderData{}, Pages: result.Pages, Count: result.Count}
	for _, one := range result.Sessions {
		data, err := one.domain()
		if err != nil {
			return nil, err
		}
		answer.Sessions = append(answer.Sessions, wire.ProviderDataOf(data))
	}
	return answer, nil
}

func (s *providerServer) save(ctx context.Context, request *wire.Object) (any, error) {
	token, data := request.String("token"), request.SessionData("data")
	if request.Err() != nil {
		return nil, request.Err()
	}
	source, err := s.source(token)
	if err != nil {
		return nil, err
	}
	unlock, err := s.sources.lock(ctx, token, data)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := source.Save(ctx, sessionDataOf(data)); err != nil {
		return nil, err
	}
	s.sources.saved(token, data)
	return struct{}{}, nil
}

func (s *providerServer) reload(ctx context.Context, request *wire.Object) (any, error) {
	token := request.String("token")
	if request.Err() != nil {
		return nil, request.Err()
	}
	source, err := s.source(token)
	if err != nil {
		return nil, err
	}
	fresh, err := source.Reload(ctx)
	if err != nil {
		return nil, err
	}
	data, err := fresh.domain()
	return providerReloaded{Data: s.wire(token, data)}, err
}

// source finds the source of a token. A process that was started anew knows none of
// the old ones: the agent then asks for the session again.
func (s *providerServer) source(token string) (SessionSource, error) {
	source, ok := s.sources.find(token)
	if !ok {
		return nil, sessions.Errorf(NotFound, "no session has this token")
	}
	return source, nil
}

// readDevice reads a device that the agent sent.
func readDevice(request *wire.Object) Device {
	in := request.Inner("device")
	d := Device{
		ID: in.Whole("id", 1, math.MaxInt64), MAC: in.String("mac"), IP: in.String("ip"), IPs: in.Texts("ips"),
		Hostname: in.String("hostname"), CreatedAt: in.Time("created_at"),
	}
	request.Keep(in.Err())
	return d
}
