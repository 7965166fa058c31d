// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"context"
	"fmt"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const (
	// retry is how soon something is tried again that failed, or that is still due
	// although it was settled.
	retry = time.Second
	// burst is how many accounts are settled one by one before reading all of them
	// is the faster way. Each costs a transaction, and thus a write to the disk.
	burst = 8
	// maxDrained bounds how many waiting events are read before the clock is.
	maxDrained = 4096
	// finishTimeout bounds the settling after ctx ended.
	finishTimeout = 10 * time.Second
)

// Run settles until ctx ends, then once more, and returns the error of that. What
// fails before is logged and tried again; it fails at once only when no timer can be
// made.
func (m *Meter) Run(ctx context.Context) error {
	timer, err := m.alarm()
	if err != nil {
		return fmt.Errorf("the meter's timer: %w", err)
	}
	defer timer.close()
	events := m.source.Events()
	_ = m.settle(ctx) // what ended before Run; a failure is logged and tried again
	for {
		timer.set(m.next().Sub(m.now()))
		select {
		case <-ctx.Done():
			return m.finish(ctx)
		case <-m.sink.Wake():
		case <-timer.rung():
			m.ring(ctx)
		case e, open := <-events:
			if !open {
				events = nil
				continue
			}
			m.ended(ctx, drain(e, events))
		}
	}
}

// next is when everything is to be settled: at the checkpoint, before it if
// something is due, and soon if the last time failed.
func (m *Meter) next() dataplane.Boottime {
	at := m.began.Add(m.every)
	again := m.done.Add(retry)
	if m.failed {
		at = min(at, again)
	}
	due, some := m.sink.Due()
	if some && due <= m.tried {
		due = again // was settled already; to settle at once again would be a busy loop
	}
	if some {
		at = min(at, due)
	}
	return at
}

// ring settles, unless what the timer was set for has moved.
func (m *Meter) ring(ctx context.Context) {
	now := m.now()
	if now < m.next() {
		return
	}
	if m.failed || now >= m.began.Add(m.every) || !m.settleDue(ctx) {
		_ = m.settle(ctx) // a failure is logged, and tried again
	}
}

// settleDue settles what is due, and nothing else: a customer whose session ended does
// not wait for the counters of all others. It reports whether that worked.
func (m *Meter) settleDue(ctx context.Context) bool {
	m.tried = m.now()
	err := m.sink.SettleDue(ctx)
	m.done = m.now()
	return err == nil
}

// settle reads and settles everything. Where counters cannot be read, time is
// settled all the same: it must not run on because of them.
func (m *Meter) settle(ctx context.Context) error {
	m.began = m.now()
	m.tried = m.began
	var err error
	settleErr := m.sink.Settle(ctx, func(yield func([]dataplane.Reading) bool) { err = m.source.ReadAll(yield) })
	m.health.report("reading the counters", err)
	if ctx.Err() == nil { // an interrupted settling says nothing
		m.health.report("settling", settleErr)
	}
	if err == nil {
		err = settleErr
	}
	m.done, m.failed = m.now(), err != nil
	return err
}

// ended settles the accounts of events.
func (m *Meter) ended(ctx context.Context, events []dataplane.Event) {
	if len(events) > burst {
		_ = m.settle(ctx) // a failure is logged, and tried again
		return
	}
	for _, e := range events {
		err := m.sink.Ended(ctx, e)
		if ctx.Err() != nil {
			return // Run ends with a settling of everything
		}
		m.health.report("settling an account that ended", err)
		if err != nil {
			m.retrySoon()
		}
	}
}

// retrySoon has everything settled soon, for the kernel reports an end only once. A
// retry that is already waiting is not put off.
func (m *Meter) retrySoon() {
	if !m.failed {
		m.done, m.failed = m.now(), true
	}
}

// drain takes the events that are waiting behind the first. An account counts
// once: its counters are read after all of its events.
func drain(first dataplane.Event, waiting <-chan dataplane.Event) []dataplane.Event {
	events := []dataplane.Event{first}
	seen := map[dataplane.Account]bool{first.Account: true}
	for range maxDrained {
		select {
		case e, open := <-waiting:
			if !open {
				return events
			}
			if !seen[e.Account] {
				seen[e.Account] = true
				events = append(events, e)
			}
		default:
			return events
		}
	}
	return events
}

// finish settles once more, although ctx has ended.
func (m *Meter) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := m.settle(ctx); err != nil {
		return fmt.Errorf("the last settling failed, the next start makes up for it: %w", err)
	}
	return nil
}
