// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// probePause is how long a provider is left alone that let its callers wait.
const probePause = time.Second

// outage is what is known of one provider that fails. Safe for concurrent use.
type outage struct {
	mu    sync.Mutex
	since time.Time // wall clock; zero: it works
	cause error
	slow  bool // it lets callers wait: nobody who has to wait asks it, but a probe
	over  chan struct{}
}

// note takes over how a call went: what changed by it.
func (o *outage) note(now time.Time, err error, late bool) (began, slowed bool, ended time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		ended = o.since
		o.since, o.cause, o.slow = time.Time{}, nil, false
		if o.over != nil {
			close(o.over)
			o.over = nil
		}
		return false, false, ended
	}
	if began = o.since.IsZero(); began {
		o.since, o.cause, o.over = now, err, make(chan struct{})
	}
	slowed = late && !o.slow
	o.slow = late // a refusal that comes at once costs nobody time
	return began, slowed, time.Time{}
}

func (o *outage) isSlow() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slow
}

func (o *outage) get() (since time.Time, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, o.cause
}

// wait returns when the outage is over, at the latest after d; false when ctx ended.
func (o *outage) wait(ctx context.Context, d time.Duration) bool {
	o.mu.Lock()
	over := o.over
	o.mu.Unlock()
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
func (m *Manager) callFor(ctx context.Context, r *remote, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, m.cfg.ProviderTimeout)
	defer cancel()
	err := answer(limited, func() error { return call(limited) })
	if !errors.Is(ctx.Err(), context.Canceled) {
		m.note(r, err, errors.Is(limited.Err(), context.DeadlineExceeded))
	}
	return err
}

// note says in the log once that a provider fails, and once that it works again.
func (m *Manager) note(r *remote, err error, late bool) {
	if sessions.CodeOf(err) == sessions.NotFound { // of a token: an answer as good as any
		err = nil
	}
	now := m.clock.Now()
	began, slowed, ended := r.outage.note(now, err, late && err != nil)
	log := m.log.With("provider", r.record.Name)
	switch {
	case began:
		log.Warn("a session provider does not work: its sessions wait, all others go on", "error", err)
	case !ended.IsZero():
		log.Info("a session provider works again", "after", now.Sub(ended).Round(time.Millisecond))
	}
	if slowed {
		m.later(func() { m.probe(r) })
	}
}

// probe asks a slow provider in the background until it answers somebody.
func (m *Manager) probe(r *remote) {
	for r.outage.isSlow() && m.providers.named(r.record.Name) == r {
		if !r.outage.wait(m.running, probePause) {
			return
		}
		_ = m.callFor(m.running, r, func(ctx context.Context) error { // callFor notes its error
			_, err := r.call.FetchSessions(ctx, r.asked(), 1, 1)
			return err
		})
	}
}

// outages returns the providers that do not work, in order of registration.
func (m *Manager) outages() []sessions.Outage {
	var list []sessions.Outage
	for _, r := range m.providers.all() {
		if since, cause := r.outage.get(); !since.IsZero() {
			list = append(list, sessions.Outage{Provider: r.record.Name, Since: since, Cause: cause})
		}
	}
	return list
}
