// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// ServerOptions configures a Server; zero values choose the defaults.
type ServerOptions struct {
	Access         Access        // who may do what, beside root
	MaxConnections int           // at a time, without those of streams. Default 512
	MaxRequests    int           // at a time, without streams. Default 256
	MaxStreams     int           // of events, at a time. Default 64
	MaxBody        int64         // bytes of a request's body. Default 64 KiB
	Heartbeat      time.Duration // of event streams. Default 15 s
	HeaderTimeout  time.Duration // for a client to say what it wants. Default 5 s
	IdleTimeout    time.Duration // of a connection without a request. Default 1 min
	WriteTimeout   time.Duration // for a client to take an answer. Default 30 s
	Log            *slog.Logger  // default: discarded
}

func (o ServerOptions) withDefaults() ServerOptions {
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
	service  Service
	opts     ServerOptions
	roles    roles
	requests *quota
	streams  *quota
	mux      *http.ServeMux
	http     *http.Server
	ending   context.Context // done when the server shuts down: ends the event streams
	end      context.CancelFunc
}

// NewServer makes a server; Serve runs it. A group that does not exist adds nobody:
// [Listen] refuses it.
func NewServer(service Service, opts ServerOptions) *Server {
	opts = opts.withDefaults()
	s := &Server{
		service: service, opts: opts, mux: http.NewServeMux(),
		requests: newQuota(opts.MaxRequests), streams: newQuota(opts.MaxStreams),
	}
	s.roles, _ = rolesOf(opts.Access)
	s.ending, s.end = context.WithCancel(context.Background())
	for _, route := range s.routes() {
		s.mux.HandleFunc(route.method+" "+route.path, s.handle(route))
	}
	s.http = &http.Server{
		Handler:           s,
		ConnContext:       withGuest,
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on ln until Shutdown, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(newGate(ln, s.roles, newQuota(s.opts.MaxConnections)))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown ends the event streams, waits for the requests under way until ctx ends,
// and closes the listener.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
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
	if err := s.guestOf(r.Context()).turnedAway(); err != nil {
		answer.Header().Set("Connection", "close")
		writeProblem(answer, problemFrom(err))
		return
	}
	if err := refuseBrowsers(r); err != nil {
		writeProblem(answer, problemFrom(err))
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.noRoute(answer, r)
		return
	}
	s.mux.ServeHTTP(answer, r)
}

func (s *Server) recoverPanic(w *recorder, r *http.Request, cause any) {
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // on purpose, and told where it happened
	}
	s.opts.Log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: the client must see it break
	}
	writeProblem(w, problemFrom(errors.New("panic")))
}

// logRequest tells who wrote what. Reads are told at debug level only, and so is who
// was turned away at the gate: strangers are not to fill the log.
func (s *Server) logRequest(w *recorder, r *http.Request, took time.Duration) {
	guest, level := s.guestOf(r.Context()), slog.LevelDebug
	if isWrite(r.Method) && !guest.noPlace {
		level = slog.LevelInfo
	}
	attrs := []any{"method", r.Method, "path", r.URL.Path, "status", w.status, "took", took.Round(time.Microsecond)}
	if c := guest.caller; c.known {
		attrs = append(attrs, "uid", c.UID, "gid", c.GID, "pid", c.PID)
	}
	s.opts.Log.Log(r.Context(), level, "api request", attrs...)
}

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// begin gives a request its place. A stream gives its connection's back: however many
// streams there are, the connections of others have theirs.
func (s *Server) begin(w http.ResponseWriter, g *guest, route route) (end func(), err error) {
	places, what := s.requests, "requests"
	if route.path == pathEvents {
		g.leave()
		w.Header().Set("Connection", "close") // it has no place for another request
		places, what = s.streams, "streams of events"
	}
	end, ok := places.take(g.caller)
	if !ok {
		return nil, sessions.Errorf(sessions.Unavailable, "too many %s at a time; try again in a moment", what)
	}
	return end, nil
}

// recorder remembers the status for the log, and gives the client the same time
// for every write.
type recorder struct {
	http.ResponseWriter
	timeout time.Duration
	status  int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// A writer without deadlines, as tests have, needs none.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.timeout))
	return w.ResponseWriter.Write(b)
}

// send has the client get its answer now: it does not wait for the log.
func (w *recorder) send() {
	if w.status != 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // who is gone does not get it
	}
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
