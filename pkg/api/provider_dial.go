// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// DialProvider returns a registered provider as the agent calls it: over the Unix
// socket of its process, which is connected to with each call, so that a provider
// may come and go. Calls end with their context. Errors are *sessions.Error:
// Unavailable when it does not answer or answers nonsense (negative amounts, wrong
// types, more than 1 MiB), or with the provider's own code.
func DialProvider(record sessions.ProviderRecord) sessions.Provider {
	client := unixClient(record.Socket)
	client.Transport.(*http.Transport).MaxResponseHeaderBytes = maxProviderHeader
	return &remoteProvider{record: record, http: client}
}

type remoteProvider struct {
	record sessions.ProviderRecord
	http   *http.Client
}

func (p *remoteProvider) GetSession(ctx context.Context, device sessions.Device) (sessions.ProvidedSession, bool, error) {
	answer, err := p.call(ctx, pathGetSession, providerAsk{Device: deviceOf(device)})
	if err != nil {
		return sessions.ProvidedSession{}, false, err
	}
	found, ok := foundIn(answer)
	return found, ok, p.check(answer, nil)
}

func (p *remoteProvider) FetchSessions(ctx context.Context, device sessions.Device, page, perPage int) (sessions.ProvidedPage, error) {
	answer, err := p.call(ctx, pathFetchSessions, providerAsk{Device: deviceOf(device), Page: page, PerPage: perPage})
	if err != nil {
		return sessions.ProvidedPage{}, err
	}
	result := pageIn(answer, perPage)
	return result, p.check(answer, nil)
}

func (p *remoteProvider) Save(ctx context.Context, token string, data sessions.SessionData) error {
	wire := providerDataOf(data)
	answer, err := p.call(ctx, pathSave, providerSave{Token: token, Data: &wire})
	return p.check(answer, err)
}

func (p *remoteProvider) Reload(ctx context.Context, token string) (sessions.SessionData, error) {
	answer, err := p.call(ctx, pathReload, providerSave{Token: token})
	if err != nil {
		return sessions.SessionData{}, err
	}
	data := answer.data("data")
	return data, p.check(answer, nil)
}

// check is the call's error, else what is wrong with its answer.
func (p *remoteProvider) check(answer *object, err error) error {
	if err != nil || answer.err == nil {
		return err
	}
	return p.unavailable("answers nonsense: %v", answer.err)
}

func (p *remoteProvider) call(ctx context.Context, path string, body any) (*object, error) {
	request, err := newRequest(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	answer, err := p.http.Do(request)
	if err != nil {
		return nil, p.unanswered(ctx, err)
	}
	defer closeQuietly(answer.Body)
	if answer.StatusCode >= 300 {
		return nil, p.refusal(problemIn(answer))
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxProviderAnswer+1))
	switch {
	case err != nil:
		return nil, p.unanswered(ctx, err)
	case len(raw) > maxProviderAnswer:
		return nil, p.unavailable("answers with more than %d bytes", maxProviderAnswer)
	case len(bytes.TrimSpace(raw)) == 0 && path != pathSave:
		return nil, p.unavailable("answers with nothing")
	}
	return (&object{private: true}).read(raw), nil // there is a token in it
}

func (p *remoteProvider) unanswered(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return p.unavailable("did not answer in time")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return p.unavailable("is not running: nobody listens on %s", filepath.Base(p.record.Socket))
	}
	return p.unavailable("did not answer: %w", unwrapURL(err))
}

// refusal passes the provider's own code on: not_found tells a lost session from a
// lost process.
func (p *remoteProvider) refusal(problem Problem) error {
	own := problem.asError()
	return sessions.Errorf(own.Code, "session provider %q: %s", p.record.Name, words(own.Message))
}

func (p *remoteProvider) unavailable(format string, args ...any) error {
	return sessions.Errorf(sessions.Unavailable, "session provider %q "+format, append([]any{p.record.Name}, args...)...)
}
