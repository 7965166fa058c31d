// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// providerSet holds the registered providers, in order of registration.
type providerSet struct {
	mu   sync.Mutex
	list []*remote

	loading sync.Mutex // from the look at the store to what is made of it
	telling turns
}

// remote is one registered provider.
type remote struct {
	record sessions.ProviderRecord
	call   sessions.Provider // nil: it cannot be reached from here
	saves  saveQueue
	outage outage
	last   atomic.Pointer[sessions.Device] // that it was asked for: a probe asks for it, too
}

// asked is the device that the provider was asked for last.
func (r *remote) asked() sessions.Device {
	if d := r.last.Load(); d != nil {
		return *d
	}
	return sessions.Device{}
}

func (p *providerSet) any() bool { return len(p.all()) > 0 }

func (p *providerSet) all() []*remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*remote(nil), p.list...)
}

func (p *providerSet) named(name string) *remote {
	for _, r := range p.all() {
		if r.record.Name == name {
			return r
		}
	}
	return nil
}

// set makes the list that of the records; what is known of a provider whose
// record did not change is kept.
func (p *providerSet) set(records []sessions.ProviderRecord, dial func(sessions.ProviderRecord) sessions.Provider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*remote, 0, len(records))
	for _, record := range records {
		at := slices.IndexFunc(p.list, func(r *remote) bool { return r.record == record })
		if at >= 0 {
			list = append(list, p.list[at])
			continue
		}
		r := &remote{record: record}
		if dial != nil {
			r.call = dial(record)
		}
		list = append(list, r)
	}
	p.list = list
}

// RegisterProvider adds a provider, last in order, or replaces one of the same
// name in its place. It is remembered across restarts, and told of what its
// sessions used meanwhile.
func (m *Manager) RegisterProvider(ctx context.Context, record sessions.ProviderRecord) error {
	if err := sessions.CheckProvider(record); err != nil {
		return err
	}
	err := m.update(ctx, func(c *change) error { return c.PutProvider(record) })
	if err != nil {
		return err
	}
	if err := m.loadProviders(ctx); err != nil {
		return err
	}
	return m.tellRest(ctx)
}

// UnregisterProvider removes a provider: it is asked for nothing more. A session
// of it that runs goes on. Code NotFound.
func (m *Manager) UnregisterProvider(ctx context.Context, name string) error {
	err := m.update(ctx, func(c *change) error {
		if _, err := c.Provider(name); err != nil {
			return err
		}
		return c.DeleteProvider(name)
	})
	if err != nil {
		return err
	}
	return m.loadProviders(ctx)
}

// Providers returns the registered providers in order.
func (m *Manager) Providers(ctx context.Context) ([]sessions.ProviderRecord, error) {
	var list []sessions.ProviderRecord
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		list, err = tx.Providers()
		return err
	})
	return list, err
}

// loadProviders takes over the stored providers.
func (m *Manager) loadProviders(ctx context.Context) error {
	m.providers.loading.Lock()
	defer m.providers.loading.Unlock()
	records, err := m.Providers(context.WithoutCancel(ctx))
	if err == nil {
		m.providers.set(records, m.cfg.Dial)
	}
	return err
}

// tellRest sends the providers what they were not told, by an earlier run or while
// they were not registered.
func (m *Manager) tellRest(ctx context.Context) error {
	if !m.providers.any() {
		return nil
	}
	unsaved, err := sessions.Snapshot(context.WithoutCancel(ctx), m.store, func(tx sessions.Tx) ([]sessions.Session, error) {
		return tx.Sessions(sessions.SessionFilter{Unsaved: true})
	})
	m.saveLater(unsaved)
	return err
}

// offer is what a provider has for a device.
type offer struct {
	provider string
	session  sessions.ProvidedSession
}

// ask asks the providers in order what the device may consume; the first one that
// has something usable is enough. One that does not answer in time is passed over, and
// from then on, until it answers a probe, without the wait. The caller holds no lock.
func (m *Manager) ask(ctx context.Context, d sessions.Device) []offer {
	for _, r := range m.providers.all() {
		if r.call == nil || r.outage.isSlow() {
			continue
		}
		r.last.Store(&d)
		o, ok, err := m.askOne(ctx, r, d)
		if err != nil {
			m.log.Debug("a provider is passed over", "provider", r.record.Name, "device", d.ID, "error", err)
			continue
		}
		if ok {
			return []offer{o}
		}
	}
	return nil
}

// askOne first tells the provider what it does not know yet, so that its answer
// is complete.
func (m *Manager) askOne(ctx context.Context, r *remote, d sessions.Device) (offer, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.ProviderTimeout)
	defer cancel()
	if err := m.deliverAll(ctx, r, d.ID); err != nil {
		return offer{}, false, err
	}
	var provided sessions.ProvidedSession
	var ok bool
	err := m.callFor(ctx, r, func(ctx context.Context) (err error) {
		provided, ok, err = r.call.GetSession(ctx, d)
		if err == nil && ok {
			err = m.checkOffer(r, d, provided)
		}
		return err
	})
	if err != nil || !ok {
		return offer{}, false, err
	}
	s := sessions.Session{State: sessions.Available}
	s.SetPurchase(provided.Data)
	s.SetUsage(provided.Data)
	return offer{provider: r.record.Name, session: provided}, sessions.Usable(s, m.now()), nil
}

// checkOffer refuses what a provider cannot have sold.
func (m *Manager) checkOffer(r *remote, d sessions.Device, provided sessions.ProvidedSession) error {
	if err := sessions.CheckProvided(provided); err != nil {
		return sessions.Errorf(sessions.Unavailable, "it offers device %d nonsense: %w", d.ID, err)
	}
	if holder, held := m.live.holder(r.record.Name, provided.Token); held && holder != d.ID {
		return sessions.Errorf(sessions.Unavailable, "it offers device %d the session that device %d runs", d.ID, holder)
	}
	return nil
}

// answer waits for a call no longer than ctx, even if the call does.
func answer(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return sessions.Errorf(sessions.Unavailable, "no answer in time: %w", ctx.Err())
	}
}

// unfinishedOf returns the rows of a provider's sessions of a device that are not
// over; there is one at most.
func unfinishedOf(tx sessions.Tx, provider string, id sessions.DeviceID) ([]sessions.Session, error) {
	all, err := tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Available, sessions.Running, sessions.Paused}})
	var list []sessions.Session
	for _, s := range all {
		if s.Provider == provider {
			list = append(list, s)
		}
	}
	return list, err
}

// preview is the session that an offer would become. Nothing is stored while
// another one runs, for it may be the offered one.
func (m *Manager) preview(ctx context.Context, d sessions.Device, o offer) (sessions.Session, error) {
	defer m.locks.lock(d.ID)()
	_, running, err := m.lookup(ctx, d.ID)
	if err != nil {
		return sessions.Session{}, err
	}
	if running == nil {
		return m.adopt(ctx, d, o)
	}
	s := sessions.Session{Device: d.ID, Provider: o.provider, Created: o.session.Data.Created}
	s.SetPurchase(o.session.Data)
	s.SetUsage(o.session.Data)
	s.State = sessions.RestState(s, m.now())
	return s, nil
}

// adopt stores an offer: in the unfinished row of that provider and device if there
// is one, else in a new one. The caller holds the device's lock, and nothing runs.
func (m *Manager) adopt(ctx context.Context, d sessions.Device, o offer) (sessions.Session, error) {
	var s sessions.Session
	err := m.update(ctx, func(c *change) error {
		rows, err := unfinishedOf(c, o.provider, d.ID)
		if err != nil {
			return err
		}
		data := o.session.Data
		if len(rows) == 0 {
			s = sessions.Session{Device: d.ID, Provider: o.provider, State: sessions.Available, Created: data.Created}
			s.SetUsage(data)
		} else {
			s = rows[0]
			s.AdoptUsage(data)
		}
		s.SetPurchase(data)
		s.Token = o.session.Token
		if s.State == sessions.Available && !s.Started.IsZero() {
			s.State = sessions.Paused
		}
		if err := c.put(&s); err != nil || len(rows) > 0 {
			return err
		}
		return c.event(c.of(sessions.SessionCreated, d, s))
	})
	return s, err
}

// continueLater is continueAfter in the background: providers may be slow.
func (m *Manager) continueLater(e ended) {
	m.later(func() {
		if err := m.continueAfter(m.running, e); err != nil {
			m.log.Error("client.disconnected was not published", "device", e.device.ID, "error", err)
		}
	})
}

// backoff is how long a provider that failed is left alone.
func backoff(failures int) time.Duration {
	return min(time.Minute, time.Second<<min(failures, 6))
}
