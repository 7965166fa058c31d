// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Source is where counters and events come from; the kernel, in the agent.
type Source interface {
	// ReadAll visits the counters of every account, some at a time, until visit returns
	// false. Those it could read are handed on also when it fails.
	ReadAll(visit func([]dataplane.Reading) bool) error
	// Events is the channel of the kernel's events. Closing it ends the events, not the
	// metering. A lost event only costs time.
	Events() <-chan dataplane.Event
}

// Sink is what is done with a reading; the rules, in the agent. The meter
// calls Settle, SettleDue and Ended from one goroutine.
type Sink interface {
	// Settle debits the readings and the time since the last call, and ends what is
	// spent or due. Settling a reading twice changes nothing. The readings of one turn
	// of the iteration are invalid in the next.
	Settle(context.Context, iter.Seq[[]dataplane.Reading]) error
	// SettleDue ends what is due, reading those counters itself.
	SettleDue(context.Context) error
	// Ended settles the account of one event of the kernel, reading it itself.
	Ended(context.Context, dataplane.Event) error
	// Due is the earliest time at which something ends by itself; false for none.
	Due() (dataplane.Boottime, bool)
	// Wake receives a value when Due may have become earlier. Never closed.
	Wake() <-chan struct{}
}

// Options are how a Meter runs.
type Options struct {
	// Checkpoint is how long something may stay unsettled; default 15 s. It bounds
	// what a power cut costs, and how often flash is written.
	Checkpoint time.Duration
	// Now reads CLOCK_BOOTTIME. Required.
	Now func() dataplane.Boottime
	// Log gets a line when a failure begins and when it ends; default none.
	Log *slog.Logger
}

// Meter settles. Run it once, from one goroutine.
type Meter struct {
	source Source
	sink   Sink
	every  time.Duration
	now    func() dataplane.Boottime
	health health
	alarm  func() (alarm, error)

	// Of the goroutine in Run:
	began  dataplane.Boottime // when the last settling of everything began
	tried  dataplane.Boottime // when the last settling of everything, or of what was due, began
	done   dataplane.Boottime // when it was done, or an event's settling failed
	failed bool               // it is to be tried again soon
}

// New makes a Meter that reads from source and settles to sink.
func New(source Source, sink Sink, o Options) *Meter {
	if o.Checkpoint <= 0 {
		o.Checkpoint = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Meter{
		source: source, sink: sink, every: o.Checkpoint, now: o.Now,
		health: health{log: o.Log, failing: make(map[string]error)},
		alarm:  newBootAlarm,
	}
}
