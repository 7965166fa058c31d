// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Delivers reports whether a session's usage is delivered to a provider.
func (p *Registry) Delivers(s sessions.Session) bool { return p.of(s) != nil }

// of returns the provider of a session, nil for none that can be reached.
func (p *Registry) of(s sessions.Session) *provider {
	if s.Provider == sessions.LocalProvider {
		return nil
	}
	if r := p.named(s.Provider); r != nil && r.call != nil {
		return r
	}
	return nil
}

// DeliverBeforeDelete delivers the usage of a session that is to be deleted. Code
// Unavailable.
func (p *Registry) DeliverBeforeDelete(ctx context.Context, s sessions.Session) error {
	r := p.of(s)
	if r == nil {
		return nil
	}
	if err := p.deliver(ctx, r, s.ID); err != nil {
		return sessions.Errorf(sessions.Unavailable, "session %d cannot be deleted, for its provider %q did not take what it used: %w", s.ID, s.Provider, err)
	}
	return nil
}

// DeliverLast delivers the usage of a session that ran until it was deleted. Little was
// used since DeliverBeforeDelete; it is lost if the provider does not take it.
func (p *Registry) DeliverLast(ctx context.Context, last sessions.Session) {
	r := p.of(last)
	if r == nil {
		return
	}
	done, err := p.turn(ctx, last.ID)
	if err == nil {
		defer done()
		err = r.do(ctx, func(ctx context.Context) error { return r.call.Save(ctx, last.Token, sessions.DataOf(last)) })
	}
	if err != nil {
		p.log.Warn("last usage of a deleted session not delivered", "provider", last.Provider, "session", last.ID, "error", err)
	}
}

// saveQueue holds the sessions whose provider does not know their latest usage. Only the
// id is kept: what is sent is the row at that time, so that the latest wins, and the rows
// still Unsaved fill the queue again after a restart.
type saveQueue struct {
	mu      sync.Mutex
	pending map[sessions.SessionID]struct{}
	working bool
}

// add queues a session and reports whether a worker has to be started.
func (q *saveQueue) add(id sessions.SessionID) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending == nil {
		q.pending = make(map[sessions.SessionID]struct{})
	}
	q.pending[id] = struct{}{}
	start = !q.working
	q.working = true
	return start
}

// take returns all that is queued; a worker that gets nothing is done.
func (q *saveQueue) take() []sessions.SessionID {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := slices.Sorted(maps.Keys(q.pending))
	clear(q.pending)
	q.working = len(ids) > 0
	return ids
}

// DeliverLater queues those sessions whose provider does not know their latest state.
func (p *Registry) DeliverLater(list []sessions.Session) {
	for _, s := range list {
		if !s.Unsaved {
			continue
		}
		r := p.named(s.Provider)
		if r == nil || r.call == nil {
			continue // delivered when it registers again
		}
		if r.saves.add(s.ID) {
			p.ledger.Background.Go(func() { p.sendSaves(p.ledger.Background.Context(), r) })
		}
	}
}

// sendSaves delivers what is queued for one provider until nothing is left. What
// fails is tried again, less and less often.
func (p *Registry) sendSaves(ctx context.Context, r *provider) {
	failures := 0
	for {
		ids := r.saves.take()
		if len(ids) == 0 || p.named(r.record.Name) != r {
			return
		}
		for _, id := range ids {
			err := p.deliver(ctx, r, id)
			if err == nil {
				failures = 0
				continue
			}
			p.log.Debug("usage not delivered to provider, trying again", "provider", r.record.Name, "session", id, "error", err)
			r.saves.add(id)
			if !r.health.wait(ctx, backoff(failures)) {
				return
			}
			failures++
		}
	}
}

// deliverAll delivers all usage of a device's sessions that a provider does not know.
func (p *Registry) deliverAll(ctx context.Context, r *provider, id sessions.DeviceID) error {
	list, err := sessions.View(ctx, p.ledger.Store, func(tx sessions.Tx) ([]sessions.Session, error) {
		return tx.Sessions(sessions.SessionFilter{Device: id, Unsaved: true})
	})
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Provider != r.record.Name {
			continue
		}
		if err := p.deliver(ctx, r, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// deliver saves the state of a session at its provider. The turn of the session is held
// over the calls: an older state that arrives after a newer one would give back what was
// used.
func (p *Registry) deliver(ctx context.Context, r *provider, id sessions.SessionID) error {
	done, err := p.turn(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	s, err := p.ledger.Session(ctx, id)
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && !s.Unsaved {
		return nil
	}
	if err != nil {
		return err
	}
	err = r.do(ctx, func(ctx context.Context) error { return r.call.Save(ctx, s.Token, sessions.DataOf(s)) })
	if sessions.CodeOf(err) == sessions.NotFound {
		return p.renew(ctx, r, s)
	}
	if err != nil {
		return err
	}
	if err := p.delivered(ctx, s); err != nil {
		return err
	}
	return p.reload(ctx, r, s)
}

// reload applies what the provider changed of a session's allowances, as by a top-up on
// its side, while the session is not over.
func (p *Registry) reload(ctx context.Context, r *provider, sent sessions.Session) error {
	if sent.State.Final() {
		return nil
	}
	var data sessions.SessionData
	err := r.do(ctx, func(ctx context.Context) error {
		var err error
		data, err = r.call.Reload(ctx, sent.Token)
		return err
	})
	if err == nil {
		err = sessions.CheckProvided(sessions.ProvidedSession{Data: data})
	}
	if err != nil || !sent.SamePurchase(data) {
		p.log.Warn("provider's changes not applied", "provider", r.record.Name, "session", sent.ID, "error", err)
		return nil // the usage is delivered; its next answer counts
	}
	now := sent
	if now.SetPurchase(data); sessions.DataOf(now).Equal(sessions.DataOf(sent)) {
		return nil
	}
	_, err = p.cfg.Update(ctx, sent.ID, sessions.SessionPatch{
		Type: &data.Type, Time: &data.Time, Bytes: &data.Bytes, ExpDays: &data.ExpDays,
		DownBPS: &data.DownBPS, UpBPS: &data.UpBPS, UseGlobalSpeed: &data.UseGlobalSpeed,
	})
	return err
}

// delivered stores that the provider knows the state that was sent; what changed since
// is still to be delivered.
func (p *Registry) delivered(ctx context.Context, sent sessions.Session) error {
	return p.ledger.Commit(ctx, func(c *ledger.Tx) error {
		s, err := c.Session(sent.ID)
		if sessions.CodeOf(err) == sessions.NotFound {
			return nil
		}
		if err != nil || !sessions.DataOf(s).Equal(sessions.DataOf(sent)) {
			return err
		}
		s.Unsaved = false
		return c.Put(&s)
	})
}

// renew finds the token of a session again in a provider that was restarted. When the
// provider has it no more there is nothing to deliver.
func (p *Registry) renew(ctx context.Context, r *provider, s sessions.Session) error {
	d, err := p.ledger.Device(ctx, s.Device)
	if err != nil {
		return err
	}
	var provided sessions.ProvidedSession
	var ok bool
	err = r.do(ctx, func(ctx context.Context) error {
		var err error
		provided, ok, err = r.call.GetSession(ctx, d)
		if err == nil && ok {
			err = r.checkOffer(d, provided)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !ok || !s.SamePurchase(provided.Data) {
		p.log.Warn("session unknown to its provider, usage not delivered", "provider", r.record.Name, "session", s.ID)
		return p.delivered(ctx, s)
	}
	s.Token = provided.Token
	err = r.do(ctx, func(ctx context.Context) error { return r.call.Save(ctx, s.Token, sessions.DataOf(s)) })
	if err != nil {
		return err
	}
	return p.retoken(ctx, s)
}

// retoken stores the token that the provider gave anew.
func (p *Registry) retoken(ctx context.Context, sent sessions.Session) error {
	err := p.ledger.Commit(ctx, func(c *ledger.Tx) error {
		s, err := c.Session(sent.ID)
		if err != nil {
			return err
		}
		s.Token = sent.Token
		return c.Put(&s)
	})
	if err != nil {
		return err
	}
	return p.delivered(ctx, sent)
}

// turn waits until no other call about a session runs, and returns what ends the turn.
// Code Unavailable when ctx ends before.
func (p *Registry) turn(ctx context.Context, id sessions.SessionID) (done func(), err error) {
	done, err = p.turns.LockContext(ctx, id)
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "an earlier call for session %d is not over: %w", id, err)
	}
	return done, nil
}
