// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// Options configures a Server; zero values choose the defaults.
type Options struct {
	Access         Access        // what users other than root may do
	MaxConnections int           // at a time, without those of streams. Default 512
	MaxRequests    int           // at a time, without streams. Default 256
	MaxStreams     int           // of events, at a time. Default 64
	MaxBody        int64         // bytes of a request's body. Default 64 KiB
	Heartbeat      time.Duration // of event streams. Default 15 s
	HeaderTimeout  time.Duration // for a client to send the header of a request. Default 5 s
	IdleTimeout    time.Duration // of a connection without a request. Default 1 min
	WriteTimeout   time.Duration // for a client to take an answer. Default 30 s
	Portal         string        // https URL of the portal's page, for devices that ask whether they are captive; "": each request names it
	Log            *slog.Logger  // default: discarded
}

func (o Options) withDefaults() Options {
	o.MaxConnections = orDefault(o.MaxConnections, 512)
	o.MaxRequests = orDefault(o.MaxRequests, 256)
	o.MaxStreams = orDefault(o.MaxStreams, 64)
	o.MaxBody = orDefault(o.MaxBody, 64<<10)
	o.Heartbeat = orDefault(o.Heartbeat, 15*time.Second)
	o.HeaderTimeout = orDefault(o.HeaderTimeout, 5*time.Second)
	o.IdleTimeout = orDefault(o.IdleTimeout, time.Minute)
	o.WriteTimeout = orDefault(o.WriteTimeout, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Server answers the API. Root, the agent's own user and operators may write; viewers
// may read. Over its limits it answers Unavailable. Safe for concurrent use.
type Server struct {
	opts     Options
	roles    roles
	requests *quota
	streams  *quota
	retries  retries
	mux      *http.ServeMux
	http     *http.Server
	closing  context.Context // done when the server shuts down: ends the event streams
	close    context.CancelFunc
}

// New makes a server of the rules; Serve runs it. A group that does not exist has no
// members: [Listen] refuses it.
func New(rules *manager.Manager, agent Agent, opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{opts: opts, mux: http.NewServeMux(), requests: newQuota(opts.MaxRequests), streams: newQuota(opts.MaxStreams)}
	s.roles, _ = rolesOf(opts.Access)
	s.closing, s.close = context.WithCancel(context.Background())
	b := backend{rules: rules, agent: agent, log: opts.Log}
	s.retries = retries{b, new(keylock.Locks[[sha256.Size]byte])}
	for _, route := range s.routes(b) {
		s.mux.HandleFunc(route.method+" "+route.path, s.handle(route))
	}
	s.mux.HandleFunc("/", s.noRoute)
	s.http = &http.Server{
		Handler:           s,
		ConnContext:       withConn,
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// routes are those of all resources. openapi.json is held against them.
func (s *Server) routes(b backend) []route {
	return slices.Concat(
		statusHandlers{b}.routes(),
		deviceHandlers{b}.routes(),
		captiveHandlers{b, s.opts.Portal}.routes(),
		gardenHandlers{b}.routes(),
		sessionHandlers{b}.routes(),
		claimHandlers{b}.routes(),
		transferHandlers{b}.routes(),
		eventHandlers{backend: b, heartbeat: s.opts.Heartbeat, closing: s.closing}.routes(),
		providerHandlers{b}.routes(),
	)
}

// Serve answers on ln until Shutdown, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(newAdmission(ln, s.roles, newQuota(s.opts.MaxConnections)))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown ends the event streams, waits for the requests under way until ctx ends,
// and closes the listener.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// ServeHTTP is one request: what every endpoint has in common.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &recorder{ResponseWriter: w, timeout: s.opts.WriteTimeout}
	began := time.Now()
	defer func() {
		s.recoverPanic(answer, r, recover())
		answer.send()
		s.logRequest(answer, r, time.Since(began))
	}()
	if err := connOf(r.Context(), s.roles).refused(); err != nil {
		answer.Header().Set("Connection", "close")
		wire.WriteProblem(answer, wire.ProblemFrom(err))
		return
	}
	if err := refuseBrowsers(r); err != nil {
		wire.WriteProblem(answer, wire.ProblemFrom(err))
		return
	}
	s.mux.ServeHTTP(answer, tidied(r))
}

// tidied is a request whose path has no slash at its end or twice in a row, as clients make
// them that join a base address and a path. To redirect, as the mux does, makes a GET of a
// POST in most clients.
func tidied(r *http.Request) *http.Request {
	clean := path.Clean(r.URL.Path)
	if clean == r.URL.Path || !strings.HasPrefix(clean, "/") {
		return r
	}
	u, out := *r.URL, *r
	u.Path = clean
	if u.RawPath != "" {
		u.RawPath = path.Clean(u.RawPath)
	}
	out.URL = &u
	return &out
}

func (s *Server) recoverPanic(w *recorder, r *http.Request, cause any) {
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // on purpose, and logged where it happened
	}
	s.opts.Log.Error("api request panicked", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: the client must see it break
	}
	wire.WriteProblem(w, wire.ProblemFrom(errors.New("panic")))
}

// logRequest logs every write with its caller. Reads are logged at debug level only, and
// so are refused connections: strangers must not fill the log.
func (s *Server) logRequest(w *recorder, r *http.Request, took time.Duration) {
	c, level := connOf(r.Context(), s.roles), slog.LevelDebug
	if isWrite(r.Method) && !c.noPlace {
		level = slog.LevelInfo
	}
	if !s.opts.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", w.status), slog.Duration("took", took.Round(time.Microsecond)),
	}
	if c := c.caller; c.known {
		attrs = append(attrs, slog.Int64("uid", int64(c.UID)), slog.Int64("gid", int64(c.GID)), slog.Int64("pid", int64(c.PID)))
	}
	s.opts.Log.LogAttrs(r.Context(), level, "api request", attrs...)
}
