// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxAnswer bounds what the client reads of one answer; lists of a large site fit.
const maxAnswer = 64 << 20

// transport sends requests to one socket.
type transport struct {
	socket string
	http   http.RoundTripper
}

// Do sends a request with a JSON body, or none when body is nil, and returns the
// answer's JSON as it came.
func (t *transport) Do(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	raw, _, err := t.exchange(ctx, method, path, body)
	return raw, err
}

// exchange is Do with the header of the answer.
func (t *transport) exchange(ctx context.Context, method, path string, body any) (json.RawMessage, http.Header, error) {
	answer, err := t.send(ctx, method, path, body, "")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := wire.ReadAll(answer.Body, answer.ContentLength, maxAnswer)
	if err != nil {
		return nil, nil, t.unreachable(ctx, err)
	}
	if len(raw) >= maxAnswer {
		return nil, nil, sessions.Errorf(sessions.Internal, "the agent's answer to %s %s is longer than %d MB; ask for less of it, as with limit and cursor", method, path, maxAnswer>>20)
	}
	return bytes.TrimSpace(raw), answer.Header, nil
}

// send returns the open answer of a request that succeeded.
func (t *transport) send(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	request, err := wire.NewRequest(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if key := keyOf(ctx); key != "" && method != http.MethodGet {
		request.Header.Set(wire.HeaderKey, key)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := t.http.RoundTrip(request)
	if err != nil {
		return nil, t.unreachable(ctx, err)
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, wire.ParseProblem(answer).AsError()
}

// unreachable says why there was no answer, and what to try.
func (t *transport) unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return sessions.Errorf(sessions.Forbidden, "not permitted to use the socket %s; call as root, or as a member of the agent's socket_group", t.socket)
	case wire.NotListening(err):
		return sessions.Errorf(sessions.Unavailable, "no agent answers on %s; start it with: hotspot-agent run", t.socket)
	}
	return sessions.Errorf(sessions.Unavailable, "the agent on %s did not answer: %w", t.socket, err)
}

// fetch does a request and reads its answer into a T.
func fetch[T any](ctx context.Context, t *transport, method, path string, body any) (answer T, err error) {
	answer, _, err = fetchHeader[T](ctx, t, method, path, body)
	return answer, err
}

// fetchHeader is fetch with the header of the answer.
func fetchHeader[T any](ctx context.Context, t *transport, method, path string, body any) (answer T, header http.Header, err error) {
	raw, header, err := t.exchange(ctx, method, path, body)
	if err != nil {
		return answer, nil, err
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return answer, nil, sessions.Errorf(sessions.Internal, "the agent's answer to %s %s is not what was expected: %v", method, path, err)
	}
	return answer, header, nil
}
