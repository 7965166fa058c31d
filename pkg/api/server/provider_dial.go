// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// What the agent sends to a provider.
type (
	providerRequest struct {
		Device  api.Device `json:"device"`
		Page    int        `json:"page,omitempty"`
		PerPage int        `json:"per_page,omitempty"`
	}
	providerSave struct {
		Token string             `json:"token"`
		Data  *wire.ProviderData `json:"data,omitempty"`
	}
)

// DialProvider returns a registered provider as the agent calls it: over the Unix
// socket of its process, which is connected to with each call, so that a provider
// may come and go. Calls end with their context. Errors are *sessions.Error:
// Unavailable when it does not answer or sends an invalid answer (negative amounts, wrong
// types, more than 1 MiB), or with the provider's own code.
func DialProvider(record sessions.ProviderRecord) sessions.Provider {
	return &remoteProvider{record: record, socket: wire.SocketTransport(record.Socket, maxProviderHeader)}
}

type remoteProvider struct {
	record sessions.ProviderRecord
	socket *http.Transport
}

// Reach connects, and sends nothing.
func (p *remoteProvider) Reach(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.record.Socket)
	if err != nil {
		return p.unanswered(ctx, err)
	}
	return conn.Close()
}

func (p *remoteProvider) GetSession(ctx context.Context, device sessions.Device) (sessions.ProvidedSession, bool, error) {
	answer, err := p.call(ctx, wire.PathGetSession, providerRequest{Device: deviceOf(device)})
	if err != nil {
		return sessions.ProvidedSession{}, false, err
	}
	found, ok := parseFound(answer)
	return found, ok, p.check(answer, nil)
}

func (p *remoteProvider) FetchSessions(ctx context.Context, device sessions.Device, page, perPage int) (sessions.ProvidedPage, error) {
	answer, err := p.call(ctx, wire.PathFetchSessions, providerRequest{Device: deviceOf(device), Page: page, PerPage: perPage})
	if err != nil {
		return sessions.ProvidedPage{}, err
	}
	result := parsePage(answer, perPage)
	return result, p.check(answer, nil)
}

func (p *remoteProvider) Save(ctx context.Context, token string, data sessions.SessionData) error {
	saved := wire.ProviderDataOf(data)
	answer, err := p.call(ctx, wire.PathSave, providerSave{Token: token, Data: &saved})
	return p.check(answer, err)
}

func (p *remoteProvider) Reload(ctx context.Context, token string) (sessions.SessionData, error) {
	answer, err := p.call(ctx, wire.PathReload, providerSave{Token: token})
	if err != nil {
		return sessions.SessionData{}, err
	}
	data := answer.SessionData("data")
	return data, p.check(answer, nil)
}

// check is the call's error, else what is wrong with its answer.
func (p *remoteProvider) check(answer *wire.Object, err error) error {
	if err != nil || answer.Err() == nil {
		return err
	}
	return p.unavailable("sent an invalid answer: %v", answer.Err())
}

func (p *remoteProvider) call(ctx context.Context, path string, body any) (*wire.Object, error) {
	request, err := wire.NewRequest(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	answer, err := p.socket.RoundTrip(request)
	if err != nil {
		return nil, p.unanswered(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode >= 300 {
		return nil, p.refusal(wire.ParseProblem(answer))
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxProviderAnswer+1))
	switch {
	case err != nil:
		return nil, p.unanswered(ctx, err)
	case len(raw) > maxProviderAnswer:
		return nil, p.unavailable("sent more than %d bytes", maxProviderAnswer)
	case len(bytes.TrimSpace(raw)) == 0 && path != wire.PathSave:
		return nil, p.unavailable("sent an empty answer")
	}
	return wire.ReadSecret(raw), nil // there is a token in it
}

func (p *remoteProvider) unanswered(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return p.unavailable("did not answer in time")
	case ctx.Err() != nil:
		return ctx.Err()
	case wire.NotListening(err):
		return p.unavailable("is not running: no process listens on %s", filepath.Base(p.record.Socket))
	}
	return p.unavailable("did not answer: %w", err)
}

// refusal passes the provider's own code on: not_found distinguishes a lost session from
// a lost process.
func (p *remoteProvider) refusal(problem wire.Problem) error {
	own := problem.AsError()
	return sessions.Errorf(own.Code, "session provider %q: %s", p.record.Name, truncate(own.Message))
}

func (p *remoteProvider) unavailable(format string, args ...any) error {
	return sessions.Errorf(sessions.Unavailable, "session provider %q "+format, append([]any{p.record.Name}, args...)...)
}

// Of what a provider answers the agent reads at most:
const (
	maxProviderAnswer = 1 << 20  // bytes of a body
	maxProviderHeader = 64 << 10 // bytes of all headers
	maxProviderText   = 300      // bytes of its text, which is logged
)

// parseFound reads the answer to get-session. The caller asks answer.Err().
func parseFound(answer *wire.Object) (found sessions.ProvidedSession, ok bool) {
	if !answer.Bool("found") {
		return found, false
	}
	found = sessions.ProvidedSession{Token: answer.String("token"), Data: answer.SessionData("data")}
	if found.Token == "" {
		answer.Fail("token", "missing")
	}
	return found, answer.Err() == nil
}

// parsePage reads the answer to fetch-sessions. The caller asks answer.Err().
func parsePage(answer *wire.Object, perPage int) sessions.ProvidedPage {
	page := sessions.ProvidedPage{
		Sessions: answer.SessionDataList("sessions"),
		Pages:    int(answer.Whole("pages", 0, math.MaxInt32)), Count: int(answer.Whole("count", 0, math.MaxInt32)),
	}
	if len(page.Sessions) > perPage {
		answer.Fail("sessions", "%d were sent, %d were asked for", len(page.Sessions), perPage)
	}
	return page
}

// truncate shortens the text of a provider for the log.
func truncate(text string) string {
	if len(text) <= maxProviderText {
		return text
	}
	return strconv.QuoteToGraphic(text[:maxProviderText]) + "…"
}
