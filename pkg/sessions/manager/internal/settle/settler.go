// SPDX-License-Identifier: Apache-2.0

// Package settle debits what was used, ends what is over, and joins what was bought with
// what is enforced.
package settle

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/providers"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Settler debits what was used, and ends what is over. Safe for concurrent use.
type Settler struct {
	clock     *wallclock.Clock
	table     *running.Table
	ledger    *ledger.Ledger
	enforce   *enforce.Enforcer
	providers *providers.Registry
	start     *start.Starter
	cfg       Config
	log       *slog.Logger

	settling sync.Mutex // one Settle or comparison at a time; guards state
	state    state
	last     lastRun
}

// Config is what settling takes from the agent's configuration.
type Config struct {
	IdleTimeout       time.Duration
	ResumeAfterReboot bool
	Log               *slog.Logger
}

// New returns a Settler.
func New(clock *wallclock.Clock, table *running.Table, ledger *ledger.Ledger, enforce *enforce.Enforcer,
	providers *providers.Registry, start *start.Starter, cfg Config) *Settler {
	return &Settler{
		clock: clock, table: table, ledger: ledger, enforce: enforce, providers: providers, start: start, cfg: cfg, log: cfg.Log,
	}
}

// state is what Settle remembers from call to call.
type state struct {
	counts []sessions.Count // memory for the next checkpoint
	known  time.Time        // wall time of the last checkpoint
	offset time.Duration    // wall clock minus CLOCK_BOOTTIME, to notice a step
	sane   bool
}

// lastRun is how the last Settle went. Safe for concurrent use.
type lastRun struct {
	mu  sync.Mutex
	at  time.Time // wall clock
	err error
}

func (c *lastRun) set(at time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.err = at, err
}

func (c *lastRun) get() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.err
}

// Last returns when Settle ran last, zero for never, and how that went.
func (sr *Settler) Last() (time.Time, error) { return sr.last.get() }

// Ended handles an event of the kernel: it ends the account's session, unless it was
// topped up meanwhile, and starts the next one.
func (sr *Settler) Ended(ctx context.Context, e dataplane.Event) error {
	s, ok := sr.table.Account(e.Account)
	if !ok {
		return nil
	}
	closed := sessions.SessionID(0)
	if e.Kind == dataplane.Exhausted {
		closed = s.ID
	}
	return sr.SettleRunning(ctx, []sessions.DeviceID{s.Device}, closed)
}

// SettleRunning settles what devices run, with counters read now. closed is a session
// whose byte limit the kernel reports as reached, or 0; its device is the only one then.
func (sr *Settler) SettleRunning(ctx context.Context, devices []sessions.DeviceID, closed sessions.SessionID) error {
	now := sr.clock.Read()
	b := batch{read: make(running.Readings, len(devices)), before: make(map[sessions.SessionID]running.Snapshot, len(devices))}
	for _, id := range devices {
		s, ok := sr.table.Running(id)
		if !ok {
			continue
		}
		r, err := sr.enforce.Read(s.Account())
		if err != nil {
			return err
		}
		if r != nil {
			b.read[r.Account], b.before[s.ID] = *r, s
		}
		_, over := sr.table.Judge(id, r, now)
		if s.ID == closed { // else the device runs another one by now
			b.closed, over = closed, true
		}
		b.add(id, over)
	}
	return sr.settleBatch(ctx, b)
}

// SettleDue settles what is due by itself now, with counters that it reads.
func (sr *Settler) SettleDue(ctx context.Context) error {
	due, err := sr.handOver(ctx, sr.table.DueBy(sr.clock.Boot()))
	if err != nil {
		return err
	}
	for some := range slices.Chunk(due, ledger.BatchSize) {
		if err := sr.SettleRunning(ctx, some, 0); err != nil {
			return err
		}
	}
	return nil
}
