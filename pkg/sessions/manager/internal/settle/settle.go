// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
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
	recalled atomic.Bool // what the store remembers is known
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
		state: state{linger: make(map[dataplane.Account]orphan)},
	}
}

// state is what Settle remembers from call to call.
type state struct {
	linger map[dataplane.Account]orphan // accounts nobody runs
	marks  []sessions.Count             // used again by the next survey
	round  uint16                       // of the last survey or comparison
	known  time.Time                    // wall time of the last marks
	offset time.Duration                // wall clock minus CLOCK_BOOTTIME, to notice a step
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

// Settle is a checkpoint: it debits the readings and the time since the last one. What
// simply goes on is marked, at once for all; what is spent or due is ended, the next
// session of each such device that has one is started, and low balances are warned of.
// To settle the same readings twice does nothing twice. Accounts that no session runs
// on are debited for what came late and, once they have been silent for a while,
// removed; so readings must not be older than the last call.
//
// What is handed on in one turn of readings is not kept.
func (sr *Settler) Settle(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	sr.settling.Lock()
	defer sr.settling.Unlock()
	err := sr.settleAll(ctx, readings)
	if err == nil {
		sr.repair(ctx)
	}
	sr.last.set(sr.clock.Now(), err)
	return err
}

func (sr *Settler) settleAll(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	v := sr.scan(readings)
	for some := range slices.Chunk(v.NeedRow, ledger.BatchSize) {
		if err := sr.settleWith(ctx, some, v.Read, 0); err != nil {
			return err
		}
	}
	if err := sr.writeCheckpoint(ctx, v); err != nil {
		return err
	}
	return sr.settleOrphans(ctx, v)
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

// Ended handles what the kernel noticed: it ends the account's session, unless it
// was topped up meanwhile, and starts the next one. The kernel tells once for each
// limit or deadline; an event that is lost is found by the next Settle.
func (sr *Settler) Ended(ctx context.Context, e dataplane.Event) error {
	id := sessions.SessionID(e.Account)
	if id <= 0 {
		return nil // a trusted device has no limits
	}
	s, err := sr.ledger.Session(ctx, id)
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && s.State != sessions.Running {
		return nil
	}
	if err != nil {
		return err
	}
	closed := sessions.SessionID(0)
	if e.Kind == dataplane.Exhausted {
		closed = id
	}
	return sr.SettleRunning(ctx, []sessions.DeviceID{s.Device}, closed)
}

// SettleRunning settles the running sessions of devices, with counters read now.
func (sr *Settler) SettleRunning(ctx context.Context, devices []sessions.DeviceID, closed sessions.SessionID) error {
	running, err := sr.ledger.RunningOf(ctx, devices)
	if err != nil {
		return err
	}
	read, err := sr.enforce.CountsOf(running)
	if err != nil {
		return err
	}
	return sr.settleWith(ctx, devices, read, closed)
}

// settleWith settles the running sessions of devices in one transaction. closed is one
// whose byte limit the kernel reports as reached, or 0; its device is the only one then.
func (sr *Settler) settleWith(ctx context.Context, devices []sessions.DeviceID, read running.Readings, closed sessions.SessionID) error {
	if len(devices) == 0 {
		return nil
	}
	ending, err := sr.ending(ctx, devices, read, closed)
	if err != nil {
		return err
	}
	held := sr.enforce.Lock(ending...)
	defer held.Unlock()
	next, err := sr.successors(ctx, held, ending)
	if err != nil {
		return err
	}
	t := settlement{sr: sr, devices: devices, read: read, closed: closed, next: next}
	if err := sr.ledger.Commit(ctx, t.run); err != nil {
		return err
	}
	sr.follow(ctx, held, &t)
	return nil
}

// ending predicts whose session is over, so that their locks can be taken before
// the transaction. Whoever is missed by it is settled, and ended by the next call.
func (sr *Settler) ending(ctx context.Context, devices []sessions.DeviceID, read running.Readings, closed sessions.SessionID) ([]sessions.DeviceID, error) {
	if closed != 0 {
		return devices, nil
	}
	running, err := sr.ledger.RunningOf(ctx, devices)
	if err != nil {
		return nil, err
	}
	now := sr.clock.Read()
	var over []sessions.DeviceID
	for _, s := range running {
		r := read.Of(s.ID)
		w := sr.activity(s, r, closed, now)
		if _, _, ends := sessions.NextState(sessions.AsOf(s, r, now), w, now); ends {
			over = append(over, s.Device)
		}
	}
	return over, nil
}

// activity gathers what is known of a running session; s is as it was before r.
func (sr *Settler) activity(s sessions.Session, r *dataplane.Reading, closed sessions.SessionID, now sessions.Instant) sessions.Activity {
	w := sessions.Activity{Closed: s.ID == closed || sessions.LimitMet(s, r), IdleTimeout: sr.cfg.IdleTimeout}
	if r == nil {
		return w // and silence cannot be told
	}
	w.LastSeen = sr.table.Seen(s.Device, r.Counters.LastSeen, now)
	return w
}
