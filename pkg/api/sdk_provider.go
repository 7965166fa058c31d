// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxAsk bounds what a provider's process reads of one question of the agent.
const maxAsk = 1 << 20

// providerServer answers the agent's questions to one provider of this process.
type providerServer struct {
	api      *API
	name     string
	provider SessionProvider
	sources  sourceBook
	dir      string // private; holds the socket
	http     *http.Server
}

// serveProvider listens, registers, and keeps the registration alive.
func (a *API) serveProvider(provider SessionProvider) error {
	if provider == nil {
		return sessions.Invalidf("provider", "nil is not a session provider")
	}
	server, err := a.startProvider(provider)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, sdkTimeout)
	defer cancel()
	if err := server.register(ctx); err != nil {
		return errors.Join(err, server.stop(ctx))
	}
	a.adopt(server)
	a.ensureLink()
	return nil
}

// adopt keeps a server for re-registration and Close. The one of the same name that
// it replaced in the agent is not called any more.
func (a *API) adopt(server *providerServer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := []*providerServer{server}
	for _, other := range a.providers {
		if other.name != server.name {
			kept = append(kept, other)
			continue
		}
		go func() { _ = other.stop(a.ctx) }()
	}
	a.providers = kept
}

func providerName(provider SessionProvider) string {
	if named, ok := provider.(interface{ Name() string }); ok {
		return named.Name()
	}
	return filepath.Base(os.Args[0])
}

func (a *API) startProvider(provider SessionProvider) (*providerServer, error) {
	s := &providerServer{api: a, name: providerName(provider), provider: provider}
	ln, err := s.listen()
	if err != nil {
		return nil, sessions.Errorf(sessions.Internal, "making a socket for the session provider: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathGetSession, answer(s.getSession))
	mux.HandleFunc("POST "+pathFetchSessions, answer(s.fetchSessions))
	mux.HandleFunc("POST "+pathSave, answer(s.save))
	mux.HandleFunc("POST "+pathReload, answer(s.reload))
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { _ = s.http.Serve(ln) }() // ends with stop
	return s, nil
}

// listen makes a socket that only root and this process's user can reach: in a
// private directory below /run where that may be written, since the agent may have a
// /tmp of its own.
func (s *providerServer) listen() (net.Listener, error) {
	var err error
	for _, parent := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/run", os.TempDir()} {
		if parent == "" {
			continue
		}
		if s.dir, err = os.MkdirTemp(parent, "hotspot-provider-"); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(s.api.ctx, "unix", s.socket())
	if err == nil {
		return ln, nil
	}
	return nil, errors.Join(err, os.RemoveAll(s.dir))
}

func (s *providerServer) socket() string { return filepath.Join(s.dir, "s") }

func (s *providerServer) register(ctx context.Context) error {
	_, err := s.api.client.RegisterProvider(ctx, Provider{Name: s.name, Socket: s.socket()})
	return err
}

// registerAll is called with every new connection to the agent.
func (a *API) registerAll() error {
	a.mu.Lock()
	providers := a.providers
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.ctx, sdkTimeout)
	defer cancel()
	for i := len(providers) - 1; i >= 0; i-- { // the newest is first
		if err := providers[i].register(ctx); err != nil {
			return sessions.Errorf(sessions.Unavailable, "registering again: %w", err)
		}
	}
	return nil
}

// close unregisters and stops.
func (s *providerServer) close(ctx context.Context) error {
	err := s.api.client.UnregisterProvider(ctx, s.name)
	if code := sessions.CodeOf(err); err != nil && (code == sessions.NotFound || code == sessions.Unavailable) {
		err = nil // nobody knows of it any more
	}
	return errors.Join(err, s.stop(ctx))
}

func (s *providerServer) stop(ctx context.Context) error {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	return os.RemoveAll(s.dir)
}

// answer turns a method into a handler: strict JSON in, JSON or a problem out.
func answer(do func(context.Context, *object) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r, maxAsk)
		var result any
		if err == nil {
			result, err = guarded(r.Context(), readObject(body), do)
		}
		if err != nil {
			writeProblem(w, providerProblem(err))
			return
		}
		w.Header().Set("Content-Type", typeJSON)
		writeBody(w, http.StatusOK, result)
	}
}

// guarded keeps a provider that panics from taking its process along.
func guarded(ctx context.Context, ask *object, do func(context.Context, *object) (any, error)) (result any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the provider panicked: %v\n%s", cause, debug.Stack())
		}
	}()
	return do(ctx, ask)
}

// providerProblem keeps the text of the provider's own errors: the agent logs it.
func providerProblem(err error) Problem {
	problem := problemFrom(err)
	if problem.Code == sessions.Internal {
		problem.Detail = err.Error()
	}
	return problem
}

func (s *providerServer) getSession(ctx context.Context, ask *object) (any, error) {
	device := ask.device("device")
	if ask.err != nil {
		return nil, ask.err
	}
	source, ok := s.provider.GetSession(ctx, s.api.device(device))
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

func (s *providerServer) wire(token string, data sessions.SessionData) *providerData {
	s.sources.refine(token, &data)
	wire := providerDataOf(data)
	return &wire
}

func (s *providerServer) fetchSessions(ctx context.Context, ask *object) (any, error) {
	device := ask.device("device")
	page, perPage := ask.whole("page", 1, math.MaxInt32), ask.whole("per_page", 1, math.MaxInt32)
	if ask.err != nil {
		return nil, ask.err
	}
	result, err := s.provider.FetchSessions(ctx, s.api.device(device), int(page), int(perPage))
	if err != nil {
		return nil, err
	}
	answer := providerPage{Sessions: []providerData{}, Pages: result.Pages, Count: result.Count}
	for _, one := range result.Sessions {
		data, err := one.domain()
		if err != nil {
			return nil, err
		}
		answer.Sessions = append(answer.Sessions, providerDataOf(data))
	}
	return answer, nil
}

func (s *providerServer) save(ctx context.Context, ask *object) (any, error) {
	token, data := ask.string("token"), ask.data("data")
	if ask.err != nil {
		return nil, ask.err
	}
	source, err := s.source(token)
	if err != nil {
		return nil, err
	}
	done, err := s.sources.turn(ctx, token, data)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := source.Save(ctx, sessionDataOf(data)); err != nil {
		return nil, err
	}
	s.sources.saved(token, data)
	return struct{}{}, nil
}

func (s *providerServer) reload(ctx context.Context, ask *object) (any, error) {
	token := ask.string("token")
	if ask.err != nil {
		return nil, ask.err
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
		return nil, sessions.Errorf(sessions.NotFound, "no session has this token")
	}
	return source, nil
}
