// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// mood is how the shop behaves.
type mood string

const (
	well    mood = "well"
	hangs   mood = "hangs"          // it takes calls and answers none
	dead    mood = "is dead"        // no listener
	lies    mood = "lies"           // it answers all calls, with nonsense
	loses   mood = "loses answers"  // it executes calls, and its answers get lost
	forgets mood = "is restarted"   // it does not know its tokens any more
	moves   mood = "registers anew" // on another socket
	alone   mood = "hangs, and the agent is killed"
)

// shop is a provider's process that speaks the wire protocol by itself. It sold one
// session, to one device, and keeps its own account of it.
type shop struct {
	dir   string
	guest string // MAC
	sold  time.Time

	mu      sync.Mutex
	mood    mood
	lies    int // nonsense
	token   string
	tokens  int
	used    uint64
	started json.RawMessage

	sockets  int
	server   *http.Server
	released chan struct{} // closed when hanging calls may return
}

const bought = 100_000_000_000

// nonsense is what a lying shop says, one after another.
var nonsense = []string{
	`{"found":true,"token":"t","data":{"type":"data","data_bytes":-5}}`,
	`{"found":true,"token":"t","data":{"type":"data","data_bytes":NaN}}`,
	`{"found":true,"token":"t","data":{"type":"data","data_bytes":1000,"data_used_bytes":2000}}`,
	`{"found":true,"token":"t","data":{"type":"data","data_bytes":9e18,"created_at":"9999-01-01T00:00:00Z"}}`,
	`{"found":true,"token":"t","data":{"type":"time","time_secs":3600,"time_used_secs":-3600}}`,
	`{"found":true,"token":"t","data":{"type":9}}`,
	`{"found":true`, `<html>`, ``, `[]`, `{"data":{}}`, "\xff\xfe",
	`{"found":true,"token":"` + strings.Repeat("x", 100_000) + `","data":{"type":"data","data_bytes":1000}}`,
	strings.Repeat("[", 2_000_000),
}

func (s *shop) socket() string { return filepath.Join(s.dir, fmt.Sprintf("shop%d.sock", s.sockets)) }

// open listens, at a new path when it moves.
func (s *shop) open(ctx context.Context, move bool) error {
	if move {
		s.sockets++
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", s.socket())
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: s}
	go func(server *http.Server) { _ = server.Serve(ln) }(s.server)
	return nil
}

func (s *shop) close() error { return s.server.Close() }

// become changes the mood; waiting calls return.
func (s *shop) become(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released != nil {
		close(s.released)
		s.released = nil
	}
	if m == hangs {
		s.released = make(chan struct{})
	}
	if m == forgets {
		s.token = ""
	}
	s.mood = m
}

func (s *shop) account() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// ask is what the agent sends, of all calls.
type ask struct {
	Device struct{ MAC string }
	Token  string
	Data   struct {
		Used    uint64          `json:"data_used_bytes"`
		Started json.RawMessage `json:"started_at"`
	}
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var a ask
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	wait, mood := s.released, s.mood
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
		}
		return // and the answer is empty
	}
	if mood == lies {
		s.lie(w)
		return
	}
	status, answer := s.answer(r.URL.Path, a)
	if mood == loses {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if status >= http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that does not read it repeats the call
}

func (s *shop) lie(w http.ResponseWriter) {
	s.mu.Lock()
	text := nonsense[s.lies%len(nonsense)]
	s.lies++
	s.mu.Unlock()
	_, _ = w.Write([]byte(text))
}

func (s *shop) answer(path string, a ask) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type fields = map[string]any
	data := fields{
		"type": "data", "data_bytes": bought, "data_used_bytes": s.used, "created_at": s.sold, "started_at": s.started,
	}
	switch {
	case path == "/v1/get-session" && a.Device.MAC != s.guest:
		return http.StatusOK, fields{"found": false}
	case path == "/v1/get-session":
		if s.token == "" {
			s.tokens++
			s.token = fmt.Sprint("token ", s.tokens)
		}
		return http.StatusOK, fields{"found": true, "token": s.token, "data": data}
	case path == "/v1/fetch-sessions":
		return http.StatusOK, fields{"sessions": []any{}, "pages": 0, "count": 0}
	case a.Token != s.token || s.token == "":
		return http.StatusNotFound, fields{"status": http.StatusNotFound, "code": "not_found", "detail": "no such token"}
	case path == "/v1/save":
		s.used, s.started = a.Data.Used, a.Data.Started
		return http.StatusOK, fields{}
	}
	return http.StatusOK, fields{"data": data}
}

// register makes the shop known to the agent.
func (s *shop) register(ctx context.Context, k *kiosk) error {
	return k.API.Call(ctx, http.MethodPost, "/providers", map[string]string{"name": "shop", "socket": s.socket()}, nil)
}

// turn puts the shop into a mood.
func (s *shop) turn(ctx context.Context, k *kiosk, m mood) error {
	s.become(m)
	switch m {
	case dead:
		return s.close()
	case forgets:
		return errors.Join(s.close(), s.open(ctx, false))
	case moves:
		return errors.Join(s.close(), s.open(ctx, true), s.register(ctx, k))
	case alone:
		s.become(hangs)
		return errors.Join(k.Agent.Kill(), k.Agent.Start())
	}
	return nil
}

// recover makes the shop well.
func (s *shop) recover(ctx context.Context, m mood) error {
	s.become(well)
	if m == dead {
		return s.open(ctx, false)
	}
	return nil
}
