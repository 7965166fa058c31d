// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// probePause is how long a provider that timed out is not called.
const probePause = time.Second

// health is what is known of one provider that fails. Safe for concurrent use.
type health struct {
	mu    sync.Mutex
	since time.Time // wall clock; zero: it works
	cause error
	slow  bool // it timed out: only a probe calls it, in the background
	over  chan struct{}
}

// update takes in how a call went, and returns what changed by it.
func (h *health) update(now time.Time, err error, late bool) (began, slowed bool, ended time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		ended = h.since
		h.since, h.cause, h.slow = time.Time{}, nil, false
		if h.over != nil {
			close(h.over)
			h.over = nil
		}
		return false, false, ended
	}
	if began = h.since.IsZero(); began {
		h.since, h.cause, h.over = now, err, make(chan struct{})
	}
	slowed = late && !h.slow
	h.slow = late // an error that comes at once delays no caller
	return began, slowed, time.Time{}
}

func (h *health) isSlow() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slow
}

func (h *health) get() (since time.Time, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.cause
}

// wait returns when the outage is over, at the latest after d; false when ctx ended.
func (h *health) wait(ctx context.Context, d time.Duration) bool {
	h.mu.Lock()
	over := h.over
	h.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-over: // never, where there is no outage
		return true
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// do runs one call of the provider with the time-out, and takes in whether it works. A
// call that the caller cancelled says nothing about it.
func (r *provider) do(ctx context.Context, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, r.registry.cfg.Timeout)
	defer cancel()
	err := answer(limited, func() error { return call(limited) })
	if !errors.Is(ctx.Err(), context.Canceled) {
		r.report(err, errors.Is(limited.Err(), context.DeadlineExceeded))
	}
	return err
}

// report logs once that the provider fails, and once that it works again.
func (r *provider) report(err error, late bool) {
	p := r.registry
	if sessions.CodeOf(err) == sessions.NotFound { // of a token: an answer as good as any
		err = nil
	}
	now := p.clock.Now()
	began, slowed, ended := r.health.update(now, err, late && err != nil)
	log := p.log.With("provider", r.record.Name)
	switch {
	case began:
		log.Warn("session provider failed, its sessions wait", "error", err)
	case !ended.IsZero():
		log.Info("session provider works again", "after", now.Sub(ended).Round(time.Millisecond))
	}
	if slowed {
		p.ledger.Background.Go(r.probe)
	}
}

// probe calls a slow provider in the background until it answers.
func (r *provider) probe() {
	p := r.registry
	ctx := p.ledger.Background.Context()
	for r.health.isSlow() && p.named(r.record.Name) == r {
		if !r.health.wait(ctx, probePause) {
			return
		}
		_ = r.do(ctx, func(ctx context.Context) error { // do logs its error
			_, err := r.call.FetchSessions(ctx, r.lastDevice(), 1, 1)
			return err
		})
	}
}

// Outages returns the providers that do not work, in order of registration.
func (p *Registry) Outages() []sessions.Outage {
	var list []sessions.Outage
	for _, r := range p.all() {
		if since, cause := r.health.get(); !since.IsZero() {
			list = append(list, sessions.Outage{Provider: r.record.Name, Since: since, Cause: cause})
		}
	}
	return list
}

// answer waits for a call no longer than ctx, even if the call does.
func answer(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return sessions.Errorf(sessions.Unavailable, "no answer in time: %w", ctx.Err())
	}
}

// backoff is how long a provider that failed is not called.
func backoff(failures int) time.Duration {
	return min(time.Minute, time.Second<<min(failures, 6))
}
