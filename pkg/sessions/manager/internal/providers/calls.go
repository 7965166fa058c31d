// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	// probePause is how long a provider that timed out is not called, and the pause between
	// the probes of one that fails.
	probePause = time.Second
	// reachEvery is how often a provider that nothing is asked of is looked for: an outage
	// is to be known within two seconds, and its collector takes one.
	reachEvery = 700 * time.Millisecond
)

// health is what is known of one provider that fails. Safe for concurrent use.
type health struct {
	mu    sync.Mutex
	since time.Time // wall clock; zero: it works
	cause error
	slow  bool // it timed out: only a probe calls it, in the background
	over  chan struct{}
}

// update takes in how a call went, and returns what changed by it.
func (h *health) update(now time.Time, err error, late bool) (began bool, ended time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		ended = h.since
		h.since, h.cause, h.slow = time.Time{}, nil, false
		if h.over != nil {
			close(h.over)
			h.over = nil
		}
		return false, ended
	}
	if began = h.since.IsZero(); began {
		h.since, h.cause, h.over = now, err, make(chan struct{})
	}
	h.slow = late // an error that comes at once delays no caller
	return began, time.Time{}
}

func (h *health) isSlow() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slow
}

func (h *health) fails() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.since.IsZero()
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
	began, ended := r.health.update(now, err, late && err != nil)
	log := p.log.With("provider", r.record.Name)
	switch {
	case began:
		log.Warn("session provider failed, its sessions wait", "error", err)
		p.ledger.Background.Go(r.probe)
	case !ended.IsZero():
		log.Info("session provider works again", "after", now.Sub(ended).Round(time.Millisecond))
	}
}

// probe calls a provider that fails in the background until it works: an outage ends when
// it is over, not with the next customer.
func (r *provider) probe() {
	p := r.registry
	ctx := p.ledger.Background.Context()
	for r.health.fails() && p.named(r.record.Name) == r {
		if !r.health.wait(ctx, probePause) {
			return
		}
		_ = r.do(ctx, r.tryOnce) // do logs its error
	}
}

// tryOnce is a call that changes nothing. A provider that was not queried yet is only
// reached for: there is no device that it is sure to know.
func (r *provider) tryOnce(ctx context.Context) error {
	if reachable, can := r.call.(sessions.Reachable); can && r.last.Load() == nil {
		return reachable.Reach(ctx)
	}
	_, err := r.call.FetchSessions(ctx, r.lastDevice(), 1, 1)
	return err
}

// watch finds out that a provider died which nothing is asked of, until it is replaced.
func (r *provider) watch(reachable sessions.Reachable) {
	p := r.registry
	ctx := p.ledger.Background.Context()
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	for p.named(r.record.Name) == r {
		if !r.health.fails() {
			if err := reachable.Reach(ctx); err != nil && ctx.Err() == nil {
				r.report(err, false)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
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
