// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// collectWithin bounds how long a problem of another part than the kernel's lasts before its
// event, also while the dataplane's checks, after each of which all are collected, hang.
const collectWithin = 2 * time.Second

// The problems of the rules; pkg/dataplane and store.go have those of their parts.
const (
	settleFailed        dataplane.ProblemCode = "settle_failed"
	providerUnavailable dataplane.ProblemCode = "provider_unavailable"
	clockNotSet         dataplane.ProblemCode = "clock_not_set"
)

// problemsOf is what does not work of all parts.
func problemsOf(plane []dataplane.Problem, rules sessions.Health, store []dataplane.Problem) []dataplane.Problem {
	all := slices.Concat(plane, store)
	if rules.SettleErr != nil {
		all = append(all, dataplane.Problem{Code: settleFailed, Detail: fmt.Sprintf("settling: %v", rules.SettleErr)})
	}
	for _, o := range rules.Outages {
		all = append(all, dataplane.Problem{Code: providerUnavailable, Subject: o.Provider,
			Detail: fmt.Sprintf("session provider %q does not work since %s: %v", o.Provider, o.Since.UTC().Format(time.RFC3339), o.Cause)})
	}
	if !rules.ClockSane {
		all = append(all, dataplane.Problem{Code: clockNotSet,
			Detail: "the wall clock is not set, or made a step that neither NTP nor an hour has confirmed yet: expiry waits"})
	}
	return all
}

// reportProblems publishes what begins and what ends, until ctx ends. It has no ticker of
// its own: to wake up once for all that is due costs half as much as twice. For the same
// reason it signals when the database's turn is.
func (d *Daemon) reportProblems(ctx context.Context, store chan<- struct{}) error {
	health, reported := d.service(), problemReporter{publish: d.manager.Publish, log: d.log}
	late := time.NewTimer(collectWithin)
	defer late.Stop()
	for {
		reported.update(ctx, linux.BootNow(), health.Problems(ctx))
		select {
		case store <- struct{}{}:
		default:
		}
		late.Reset(collectWithin)
		select {
		case <-ctx.Done():
			return nil
		case <-d.checked:
		case <-late.C:
		}
	}
}

// problemReporter compares the problems that there are with those it has reported. What
// cannot be stored, as the database may be the problem, it stores later. Not safe for
// concurrent use.
type problemReporter struct {
	publish func(context.Context, sessions.Event) error
	log     *slog.Logger
	open    []occurrence
	failing bool
}

// occurrence is a problem from its begin until both its events are stored.
type occurrence struct {
	dataplane.Problem
	began, ended dataplane.Boottime // ended 0: it lasts
	reported     bool               // that it began
}

func (o occurrence) event(kind sessions.EventType) sessions.Event {
	return sessions.Event{Type: kind, Reason: string(o.Code), Interface: o.Interface, Message: o.Detail}
}

// problemID is what identifies a problem while it lasts.
type problemID struct {
	code            dataplane.ProblemCode
	ifname, subject string
}

func idOf(p dataplane.Problem) problemID { return problemID{p.Code, p.Interface, p.Subject} }

// update takes in the problems that there are now.
func (r *problemReporter) update(ctx context.Context, now dataplane.Boottime, found []dataplane.Problem) {
	if ctx.Err() != nil {
		return // what was not readable any more is not over
	}
	for _, p := range found {
		if at := r.find(idOf(p)); at < 0 {
			r.open = append(r.open, occurrence{Problem: p, began: now})
		} else {
			r.open[at].Problem, r.open[at].ended = p, 0
		}
	}
	for at := range r.open {
		o := &r.open[at]
		if o.ended == 0 && !slices.ContainsFunc(found, func(p dataplane.Problem) bool { return idOf(p) == idOf(o.Problem) }) {
			o.ended = now
		}
	}
	err := r.store(ctx)
	if err != nil && !r.failing && ctx.Err() == nil {
		r.log.Error("health events not stored, repeated until they are", "error", err)
	}
	r.failing = err != nil
}

func (r *problemReporter) find(id problemID) int {
	return slices.IndexFunc(r.open, func(o occurrence) bool { return idOf(o.Problem) == id })
}

// store stores the events that are due, and forgets what is over.
func (r *problemReporter) store(ctx context.Context) error {
	for at := 0; at < len(r.open); {
		o := &r.open[at]
		if !o.reported {
			if err := r.publish(ctx, o.event(sessions.HealthProblem)); err != nil {
				return err
			}
			o.reported = true
		}
		if o.ended == 0 {
			at++
			continue
		}
		over := o.event(sessions.HealthResolved)
		over.DurationMS = milliseconds(o.ended.Sub(o.began))
		if err := r.publish(ctx, over); err != nil {
			return err
		}
		r.open = slices.Delete(r.open, at, at+1)
	}
	return nil
}
