// SPDX-License-Identifier: Apache-2.0

// Package providers holds the registered session providers: it queries them for sessions,
// delivers usage to them, and tracks their outages.
package providers

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Registry holds the registered providers, in order of registration, and calls them. Safe
// for concurrent use.
type Registry struct {
	clock  *wallclock.Clock
	table  *running.Table
	ledger *ledger.Ledger
	cfg    Config
	log    *slog.Logger

	loading sync.Mutex // from the read of the store to the list made of it
	mu      sync.Mutex // guards list; a leaf
	list    []*provider

	// turns are held over the calls about one session: an older state that arrives after a
	// newer one would give back what was used.
	turns keylock.Locks[sessions.SessionID]
}

// Config is what the registry takes from the agent's configuration.
type Config struct {
	Dial    func(sessions.ProviderRecord) sessions.Provider // may be nil
	Timeout time.Duration                                   // of one call
	// Update applies what a provider changed of a session.
	Update func(context.Context, sessions.SessionID, sessions.SessionPatch) (sessions.Session, error)
	Log    *slog.Logger
}

// New returns a Registry; Load fills it.
func New(clock *wallclock.Clock, table *running.Table, ledger *ledger.Ledger, cfg Config) *Registry {
	return &Registry{clock: clock, table: table, ledger: ledger, cfg: cfg, log: cfg.Log}
}

// provider is one registered provider.
type provider struct {
	registry *Registry
	record   sessions.ProviderRecord
	call     sessions.Provider // nil: it cannot be reached from here
	saves    saveQueue
	health   health
	last     atomic.Pointer[sessions.Device] // that it was queried for: a probe queries for it, too
}

func (r *provider) lastDevice() sessions.Device {
	if d := r.last.Load(); d != nil {
		return *d
	}
	return sessions.Device{}
}

// Any reports whether there are providers.
func (p *Registry) Any() bool { return len(p.all()) > 0 }

func (p *Registry) all() []*provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*provider(nil), p.list...)
}

func (p *Registry) named(name string) *provider {
	for _, r := range p.all() {
		if r.record.Name == name {
			return r
		}
	}
	return nil
}

// set makes the list that of the records. A provider whose record did not change keeps
// its state.
func (p *Registry) set(records []sessions.ProviderRecord, dial func(sessions.ProviderRecord) sessions.Provider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*provider, 0, len(records))
	for _, record := range records {
		at := slices.IndexFunc(p.list, func(r *provider) bool { return r.record == record })
		if at >= 0 {
			list = append(list, p.list[at])
			continue
		}
		r := &provider{registry: p, record: record}
		if dial != nil {
			r.call = dial(record)
		}
		list = append(list, r)
		if reachable, can := r.call.(sessions.Reachable); can {
			p.ledger.Background.Go(func() { r.watch(reachable) })
		}
	}
	p.list = list
}

// Register adds a provider, last in order, or replaces one of the same
// name in its place. It is remembered across restarts, and usage that it does not
// know is delivered.
func (p *Registry) Register(ctx context.Context, record sessions.ProviderRecord) error {
	if err := sessions.CheckProvider(record); err != nil {
		return err
	}
	err := p.ledger.Update(ctx, func(c *ledger.Tx) error { return c.PutProvider(record) })
	if err != nil {
		return err
	}
	if err := p.Load(ctx); err != nil {
		return err
	}
	return p.Redeliver(ctx)
}

// Unregister removes a provider: it is not called any more. A session of it that runs
// continues. Code NotFound.
func (p *Registry) Unregister(ctx context.Context, name string) error {
	err := p.ledger.Update(ctx, func(c *ledger.Tx) error {
		if _, err := c.Provider(name); err != nil {
			return err
		}
		return c.DeleteProvider(name)
	})
	if err != nil {
		return err
	}
	return p.Load(ctx)
}

// List returns the registered providers in order.
func (p *Registry) List(ctx context.Context) ([]sessions.ProviderRecord, error) {
	return sessions.View(ctx, p.ledger.Store, func(tx sessions.Tx) ([]sessions.ProviderRecord, error) { return tx.Providers() })
}

// Load makes the list that of the store.
func (p *Registry) Load(ctx context.Context) error {
	p.loading.Lock()
	defer p.loading.Unlock()
	records, err := p.List(context.WithoutCancel(ctx))
	if err == nil {
		p.set(records, p.cfg.Dial)
	}
	return err
}

// Redeliver queues the usage that providers do not know, of an earlier run or of a time
// when they were not registered.
func (p *Registry) Redeliver(ctx context.Context) error {
	if !p.Any() {
		return nil
	}
	unsaved, err := sessions.Snapshot(context.WithoutCancel(ctx), p.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) {
		return tx.Sessions(sessions.SessionFilter{Unsaved: true})
	})
	p.DeliverLater(unsaved)
	return err
}

// Offer is what a provider has for a device.
type Offer struct {
	Provider string
	Session  sessions.ProvidedSession
}

// Query calls the providers in order for what the device may consume; the first one that
// has something usable is enough. One that does not answer in time is skipped, and from
// then on, until it answers a probe, without the wait. The caller holds no lock.
func (p *Registry) Query(ctx context.Context, d sessions.Device) []Offer {
	for _, r := range p.all() {
		if r.call == nil || r.health.isSlow() {
			continue
		}
		r.last.Store(&d)
		o, ok, err := p.queryOne(ctx, r, d)
		if err != nil {
			p.log.Debug("session provider skipped", "provider", r.record.Name, "device", d.ID, "error", err)
			continue
		}
		if ok {
			return []Offer{o}
		}
	}
	return nil
}

// queryOne first delivers the usage that the provider does not know yet, so that its
// answer is complete.
func (p *Registry) queryOne(ctx context.Context, r *provider, d sessions.Device) (Offer, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	if err := p.deliverAll(ctx, r, d.ID); err != nil {
		return Offer{}, false, err
	}
	var provided sessions.ProvidedSession
	var ok bool
	err := r.do(ctx, func(ctx context.Context) (err error) {
		provided, ok, err = r.call.GetSession(ctx, d)
		if err == nil && ok {
			err = r.checkOffer(d, provided)
		}
		return err
	})
	if err != nil || !ok {
		return Offer{}, false, err
	}
	s := sessions.Session{State: sessions.Available}
	s.SetPurchase(provided.Data)
	s.SetUsage(provided.Data)
	return Offer{Provider: r.record.Name, Session: provided}, sessions.Usable(s, p.clock.Read()), nil
}

// checkOffer refuses what a provider cannot have sold.
func (r *provider) checkOffer(d sessions.Device, provided sessions.ProvidedSession) error {
	if err := sessions.CheckProvided(provided); err != nil {
		return sessions.Errorf(sessions.Unavailable, "its offer for device %d is invalid: %w", d.ID, err)
	}
	if holder, held := r.registry.table.Holder(r.record.Name, provided.Token); held && holder != d.ID {
		return sessions.Errorf(sessions.Unavailable, "it offers device %d the session that device %d runs", d.ID, holder)
	}
	return nil
}
