// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// ServerOptions configures a Server; zero values choose the defaults.
type ServerOptions struct {
	Group          string        // socket_group: who may write beside root; "" for nobody
	MaxConnections int           // at a time; more wait. Default 256
	MaxBody        int64         // bytes of a request's body. Default 64 KiB
	Heartbeat      time.Duration // of event streams. Default 15 s
	WriteTimeout   time.Duration // for a client to take an answer. Default 30 s
	Log            *slog.Logger  // default: discarded
}

func (o ServerOptions) withDefaults() ServerOptions {
	o.MaxConnections = orDefault(o.MaxConnections, 256)
	o.MaxBody = orDefault(o.MaxBody, 64<<10)
	o.Heartbeat = orDefault(o.Heartbeat, 15*time.Second)
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

// Server answers the API. Root, the agent's own user and the members of the group
// may write; who can open the socket may read. Safe for concurrent use.
type Server struct {
	service Service
	opts    ServerOptions
	gid     int
	self    uint32 // the agent's own user
	mux     *http.ServeMux
	http    *http.Server
	ending  context.Context // done when the server shuts down: ends the event streams
	end     context.CancelFunc
}

// NewServer makes a server; Serve runs it. A group that does not exist adds nobody:
// [Listen] refuses it.
func NewServer(service Service, opts ServerOptions) *Server {
	s := &Server{service: service, opts: opts.withDefaults(), self: uint32(os.Geteuid()), mux: http.NewServeMux()}
	s.gid, _ = lookupGroup(opts.Group)
	s.ending, s.end = context.WithCancel(context.Background())
	for _, route := range s.routes() {
		s.mux.HandleFunc(route.method+" "+route.path, s.handle(route))
	}
	s.http = &http.Server{
		Handler:           s,
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on ln until Shutdown, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(limitConnections(ln, s.opts.MaxConnections))
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

// logRequest tells who wrote what. Reads are told at debug level only.
func (s *Server) logRequest(w *recorder, r *http.Request, took time.Duration) {
	level := slog.LevelDebug
	if isWrite(r.Method) {
		level = slog.LevelInfo
	}
	attrs := []any{"method", r.Method, "path", r.URL.Path, "status", w.status, "took", took.Round(time.Microsecond)}
	if p, ok := peerFrom(r.Context()); ok {
		attrs = append(attrs, "uid", p.UID, "gid", p.GID, "pid", p.PID)
	}
	s.opts.Log.Log(r.Context(), level, "api request", attrs...)
}

func isWrite(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// authorize lets whoever can open the socket read, and root and the group write.
func (s *Server) authorize(r *http.Request) error {
	if !isWrite(r.Method) {
		return nil
	}
	p, ok := peerFrom(r.Context())
	if !ok {
		return sessions.Errorf(sessions.Forbidden, "who is calling is not known, so nothing may be changed")
	}
	if !p.mayWrite(s.self, s.gid) {
		return sessions.Errorf(sessions.Forbidden, "uid %d may not change anything: only root and members of socket_group may", p.UID)
	}
	return nil
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
