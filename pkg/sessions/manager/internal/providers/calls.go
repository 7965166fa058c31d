// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// probePause is how long a provider is left alone that let its callers wait.
const probePause = time.Second

// health is what is known of one provider that fails. Safe for concurrent use.
type health struct {
	mu    sync.Mutex
	since time.Time // wall clock; zero: it works
	cause error
	slow  bool // it lets callers wait: nobody who has to wait asks it, but a probe
	over  chan struct{}
}

// note takes over how a call went: what changed by it.
func (h *health) note(now time.Time, err error, late bool) (began, slowed bool, ended time.Time) {
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
	h.slow = late // a refusal that comes at once costs nobody time
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

// callFor runs one call of a provider with the time-out, and notes whether it works.
// Calls that the caller gave up say nothing about it.
func (p *Registry) callFor(ctx context.Context, r *Provider, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	err := answer(limited, func() error { return call(limited) })
	if !errors.Is(ctx.Err(), context.Canceled) {
		p.note(r, err, errors.Is(limited.Err(), context.DeadlineExceeded))
	}
	return err
}

// note says in the log once that a provider fails, and once that it works again.
func (p *Registry) note(r *Provider, err error, late bool) {
	if sessions.CodeOf(err) == sessions.NotFound { // of a token: an answer as good as any
		err = nil
	}
	now := p.clock.Now()
	began, slowed, ended := r.health.note(now, err, late && err != nil)
	log := p.log.With("provider", r.record.Name)
	switch {
	case began:
		log.Warn("a session provider does not work: its sessions wait, all others go on", "error", err)
	case !ended.IsZero():
		log.Info("a session provider works again", "after", now.Sub(ended).Round(time.Millisecond))
	}
	if slowed {
		p.ledger.Background.Go(func() { p.probe(r) })
	}
}

// probe asks a slow provider in the background until it answers somebody.
func (p *Registry) probe(r *Provider) {
	for r.health.isSlow() && p.named(r.record.Name) == r {
		if !r.health.wait(p.ledger.Background.Context(), probePause) {
			return
		}
		_ = p.callFor(p.ledger.Background.Context(), r, func(ctx context.Context) error { // callFor notes its error
			_, err := r.call.FetchSessions(ctx, r.asked(), 1, 1)
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

// backoff is how long a provider that failed is left alone.
func backoff(failures int) time.Duration {
	return min(time.Minute, time.Second<<min(failures, 6))
}
