// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"sort"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Summary counts what there is.
func (m *Manager) Summary(ctx context.Context) (sessions.Summary, error) {
	sum := sessions.Summary{ClockSane: m.now().WallTrusted}
	err := m.store.Snapshot(ctx, func(tx sessions.Tx) error {
		var err error
		if sum.Devices, err = tx.CountDevices(); err != nil {
			return err
		}
		if sum.Sessions, err = tx.CountSessions(); err != nil {
			return err
		}
		last, err := lastEvent(tx)
		sum.LastSeq = last.Seq
		return err
	})
	sum.Connected = sum.Sessions[sessions.Running]
	sum.LastSettle, sum.SettleErr = m.checkpoint.get()
	sum.Outages = m.outages()
	return sum, err
}

// lastEvent finds the last event, the zero one when there is none. Numbers have no
// gaps, so that it takes a few dozen looks.
func lastEvent(tx sessions.Tx) (sessions.Event, error) {
	var last sessions.Event
	var failed error
	below := func(after int64) bool { // whether no event follows
		events, err := tx.Events(after, 1)
		if err != nil {
			failed = err
		}
		if len(events) > 0 && events[0].Seq > last.Seq {
			last = events[0]
		}
		return len(events) == 0
	}
	top := int64(1)
	for failed == nil && !below(top) {
		top *= 2
	}
	sort.Search(int(top), func(n int) bool { return failed != nil || below(int64(n)) })
	return last, failed
}

// recall takes from the store what a Manager has to remember: the providers, and the
// wall time that was known last.
func (m *Manager) recall(ctx context.Context) error {
	if !m.recalled.Load() {
		if err := m.recallClock(ctx); err != nil {
			return err
		}
		m.recalled.Store(true)
	}
	return m.loadProviders(ctx)
}

// recallClock asks the marks, and where none told the time yet, the last event.
func (m *Manager) recallClock(ctx context.Context) error {
	marks := m.lastMarks()
	if !marks.Known.IsZero() {
		if marks.Boot == m.clock.BootID() {
			m.trust.recall(marks.Known, marks.At, true)
		} else {
			m.trust.recall(marks.Known, 0, false)
		}
		return nil
	}
	return m.store.View(ctx, func(tx sessions.Tx) error {
		last, err := lastEvent(tx)
		if err != nil {
			return err
		}
		if last.Time.Before(sessions.EarliestClock) {
			last.Time = time.Time{}
		}
		m.trust.recall(last.Time, m.clock.Boot(), false)
		return nil
	})
}
