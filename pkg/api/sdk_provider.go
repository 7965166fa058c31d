// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// maxAsk bounds what a provider's process reads of one question of the agent.
const maxAsk = 1 << 20

// providerServer answers the agent's questions to one provider of this process.
type providerServer struct {
	api      *API
	name     string
	provider SessionProvider
	sources  sourceRegistry
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
		return nil, sessions.Errorf(Internal, "making a socket for the session provider: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathGetSession, answer(s.getSession))
	mux.HandleFunc("POST "+wire.PathFetchSessions, answer(s.fetchSessions))
	mux.HandleFunc("POST "+wire.PathSave, answer(s.save))
	mux.HandleFunc("POST "+wire.PathReload, answer(s.reload))
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
			return sessions.Errorf(Unavailable, "registering again: %w", err)
		}
	}
	return nil
}

// close unregisters and stops.
func (s *providerServer) close(ctx context.Context) error {
	err := s.api.client.UnregisterProvider(ctx, s.name)
	if code := CodeOf(err); err != nil && (code == NotFound || code == Unavailable) {
		err = nil // it is not registered any more
	}
	return errors.Join(err, s.stop(ctx))
}

func (s *providerServer) stop(ctx context.Context) error {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	return os.RemoveAll(s.dir)
}
