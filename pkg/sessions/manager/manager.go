// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Config is what the rules take from the agent's configuration.
type Config struct {
	GlobalDownBPS, GlobalUpBPS uint64            // bit/s of sessions that use the global speed; 0 for no limit
	LowBalancePercent          int               // session.low is published when this share is left; 0 never
	IdleTimeout                time.Duration     // a device silent this long is paused; 0 never
	ResumeAfterReboot          bool              // running sessions go on after a reboot, instead of being paused
	Bind                       sessions.BindMode // default BindNone
	Trusted                    []dataplane.MAC
	Blocked                    []dataplane.MAC
	RouterMACs                 func() []dataplane.MAC                            // refused as customers; may be nil
	Locate                     func(dataplane.MAC) ([]dataplane.Neighbor, error) // where the kernel knows a MAC; may be nil
	Dial                       func(sessions.ProviderRecord) sessions.Provider   // how to reach a registered provider; may be nil
	ProviderTimeout            time.Duration                                     // of one call; default 2 s
	Checkpoint                 time.Duration                                     // how long usage may stay unsettled; default 15 s
	Log                        *slog.Logger                                      // default: none
}

// Manager applies the rules: it joins what was bought (Store) with what is
// enforced (Enforcer). All methods are safe for concurrent use. An error that a
// caller can act on is an *[Error].
//
// Locks, in the order in which they are taken: a device's lock (its rule in the
// kernel), then commits (the store and what is remembered of it). Neither is held
// during a call of a provider, and commits not while the kernel is changed: looks at its
// tables are short.
type Manager struct {
	store  sessions.Store
	kernel sessions.Enforcer
	clock  sessions.Clock
	cfg    Config
	log    *slog.Logger
	static map[dataplane.MAC]dataplane.Rule // trusted and blocked

	locks    deviceLocks
	commits  sync.Mutex // one transaction and its consequences in memory
	sold     time.Time  // moment of the last sale; commits guards it
	settling sync.Mutex // one Settle or comparison at a time; holds settle
	settle   settleState

	checkpoint checkpoint

	live      liveTable
	gaps      gapTable
	rates     rateTable
	hub       hub
	syncs     syncQueue
	providers providerSet
	trust     trust       // in the wall clock
	recalled  atomic.Bool // what the store remembers is known
	guesses   guesses

	background background
	running    context.Context // ends with Stop: the work in the background
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
	m := &Manager{
		store: store, kernel: kernel, clock: clock, cfg: cfg, log: cfg.Log,
		static: sessions.StaticRules(cfg.Trusted, cfg.Blocked),
		settle: settleState{linger: make(map[dataplane.Account]lingering)},
	}
	m.rates.memory = 2 * cfg.Checkpoint
	m.live.init(cfg)
	m.running = m.background.begin()
	return m
}

// now reads the clocks.
func (m *Manager) now() sessions.Instant {
	return m.trust.readClocks(m.clock)
}

func (m *Manager) speeds() sessions.GlobalSpeeds {
	return sessions.GlobalSpeeds{DownBPS: m.cfg.GlobalDownBPS, UpBPS: m.cfg.GlobalUpBPS}
}

// Stop settles everything and ends the work in the background. With disconnect it
// pauses what runs; otherwise the kernel goes on enforcing it, and marks are enough: the
// next start finds the counters, or else the marks.
func (m *Manager) Stop(ctx context.Context, disconnect bool) error {
	m.background.end()
	if disconnect {
		return m.disconnectAll(ctx, sessions.ReasonStopped)
	}
	var failed error
	err := m.Settle(ctx, func(yield func([]dataplane.Reading) bool) { failed = m.readRunning(yield) })
	return errors.Join(failed, err)
}

// readRunning visits the counters of what runs, some at a time.
func (m *Manager) readRunning(visit func([]dataplane.Reading) bool) error {
	for some := range slices.Chunk(m.live.sessions(), atATime) {
		readings := make([]dataplane.Reading, 0, len(some))
		for _, id := range some {
			r, found, err := m.read(id.Account())
			if err != nil {
				return err
			}
			if found {
				readings = append(readings, r)
			}
		}
		if !visit(readings) {
			return nil
		}
	}
	return nil
}
