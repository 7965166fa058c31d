// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/devices"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/identity"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/providers"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/settle"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Config is what the rules take from the agent's configuration.
type Config struct {
	GlobalDownBPS, GlobalUpBPS uint64            // bit/s of sessions that use the global speed; 0 for no limit
	LowBalancePercent          int               // session.low is published when this share is left; 0 never
	IdleTimeout                time.Duration     // a device that sent nothing this long is paused; 0 never
	ResumeAfterReboot          bool              // running sessions continue after a reboot, instead of being paused
	Bind                       sessions.BindMode // default BindNone
	ForgetDevices              time.Duration     // devices without sessions that were not seen this long; 0 never
	KeepSessions               time.Duration     // how long sessions are kept that are over; 0 for ever
	Trusted                    []dataplane.MAC
	Blocked                    []dataplane.MAC
	RouterMACs                 func() []dataplane.MAC                            // refused as customers; may be nil
	Locate                     func(dataplane.MAC) ([]dataplane.Neighbor, error) // where the kernel knows a MAC; may be nil
	Dial                       func(sessions.ProviderRecord) sessions.Provider   // how to reach a registered provider; may be nil
	ProviderTimeout            time.Duration                                     // of one call; default 2 s
	Checkpoint                 time.Duration                                     // how long usage may stay unsettled; default 15 s
	Log                        *slog.Logger                                      // default: none
}

// Manager has the verbs: it joins what was bought (Store) with what is enforced
// (Enforcer). All methods are safe for concurrent use. An error that a caller can act on
// is a *[sessions.Error]. The order of the locks below it is in the package's comment.
type Manager struct {
	Retries Retries

	cfg       Config
	clock     *wallclock.Clock
	table     *running.Table
	ledger    *ledger.Ledger
	enforce   *enforce.Enforcer
	providers *providers.Registry
	start     *start.Starter
	settle    *settle.Reconciler
	identity  *identity.Observer
	devices   *devices.Devices
	claims    claimLimiter
}

// New makes a Manager. Nothing is enforced before the first [Manager.Reconcile].
func New(store sessions.Store, kernel sessions.Enforcer, clock sessions.Clock, cfg Config) *Manager {
	if cfg.ProviderTimeout <= 0 {
		cfg.ProviderTimeout = 2 * time.Second
	}
	if cfg.Checkpoint <= 0 {
		cfg.Checkpoint = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, clock: wallclock.New(clock)}
	m.table = running.New(running.Config{
		LowBalancePercent: cfg.LowBalancePercent, IdleTimeout: cfg.IdleTimeout, RateMemory: 2 * cfg.Checkpoint,
	})
	m.ledger = ledger.New(store, m.clock, m.table, ledger.Config{
		LowBalancePercent: cfg.LowBalancePercent, Log: cfg.Log,
		Deliver: func(stored []sessions.Session) { m.providers.DeliverLater(stored) },
	})
	m.Retries = Retries{m.ledger, m.clock}
	m.enforce = enforce.New(kernel, m.clock, m.ledger, enforce.Config{
		GlobalDownBPS: cfg.GlobalDownBPS, GlobalUpBPS: cfg.GlobalUpBPS, Bind: cfg.Bind,
		Trusted: cfg.Trusted, Blocked: cfg.Blocked, Locate: cfg.Locate, Log: cfg.Log,
	})
	m.providers = providers.New(m.clock, m.table, m.ledger, providers.Config{
		Dial: cfg.Dial, Timeout: cfg.ProviderTimeout, Log: cfg.Log,
		Update: func(ctx context.Context, id sessions.SessionID, patch sessions.SessionPatch) (sessions.Session, error) {
			return m.patch(sessions.WithRequest(ctx, nil), id, patch, asItSays) // an asking request has an answer of its own
		},
	})
	m.start = start.New(m.clock, m.table, m.ledger, m.enforce, m.providers, cfg.Log)
	m.settle = &settle.Reconciler{Settler: settle.New(m.clock, m.table, m.ledger, m.enforce, m.providers, m.start, settle.Config{
		IdleTimeout: cfg.IdleTimeout, ResumeAfterReboot: cfg.ResumeAfterReboot, Log: cfg.Log,
	})}
	m.identity = identity.New(m.clock, m.table, m.ledger, m.enforce, m.start, cfg.Bind)
	m.devices = devices.New(m.clock, m.ledger, m.enforce, m.identity, devices.MaxVisitors)
	return m
}

// Stop settles everything and ends the work in the background. With disconnect it
// pauses what runs; otherwise the kernel keeps enforcing it, and a checkpoint is enough:
// the next start finds the counters, or else the checkpoint.
func (m *Manager) Stop(ctx context.Context, disconnect bool) error {
	m.ledger.Background.Stop()
	if disconnect {
		return m.start.DisconnectAll(ctx, sessions.ReasonStopped)
	}
	var failed error
	err := m.settle.Settle(ctx, func(yield func([]dataplane.Reading) bool) { failed = m.settle.ReadRunning(yield) })
	return errors.Join(failed, err)
}

// Settle is a checkpoint: it debits the readings and the time since the last one. What
// is within its limits is written as a count, at once for all; what is used up or due is
// ended, the next session of each such device that has one is started, and low balances
// are published. To settle the same readings twice does nothing twice. Accounts that no
// session runs on are debited for what came late and then removed, so that readings must
// not be older than the last call.
//
// The slices of readings are not kept.
func (m *Manager) Settle(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	return m.settle.Settle(ctx, readings)
}

// SettleDue settles what is due by itself now, with counters that it reads.
func (m *Manager) SettleDue(ctx context.Context) error { return m.settle.SettleDue(ctx) }

// Ended handles an event of the kernel: it ends the account's session, unless it was
// topped up meanwhile, and starts the next one. The kernel sends one event for each limit
// or deadline; a lost one is made up for by the next Settle.
func (m *Manager) Ended(ctx context.Context, e dataplane.Event) error { return m.settle.Ended(ctx, e) }

// Reconcile joins what was bought with what is enforced: it removes rules that no
// running session has, and grants those that are missing; denials first. At boot and
// after a crash it also settles what passed since the last checkpoint, and ends what is
// over; later, as a periodic repair, it leaves that to the checkpoints. It may be repeated
// at any time.
func (m *Manager) Reconcile(ctx context.Context) error { return m.settle.Reconcile(ctx) }

// Due returns the earliest time when a running session ends by time (deadline, expiry,
// idle time-out) or becomes low; false when there is none. Cheap.
func (m *Manager) Due() (dataplane.Boottime, bool) {
	at := m.table.Next()
	return at, at != 0
}

// Wake receives a value when Due has become earlier. It holds one value, and is
// never closed.
func (m *Manager) Wake() <-chan struct{} { return m.table.Wake() }
