// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// saveQueue is what one provider has to be told. Only the session is remembered:
// what is sent is its row when its turn comes, so that the latest wins, and the
// rows still marked Unsaved fill the queue again after a restart.
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

// saveLater queues those sessions whose provider does not know their latest state.
func (m *Manager) saveLater(list []sessions.Session) {
	for _, s := range list {
		if !s.Unsaved {
			continue
		}
		r := m.providers.named(s.Provider)
		if r == nil || r.call == nil {
			continue // told when it registers again
		}
		if r.saves.add(s.ID) {
			m.later(func() { m.sendSaves(m.running, r) })
		}
	}
}

// sendSaves delivers what is queued for one provider until nothing is left. What
// fails is tried again, less and less often.
func (m *Manager) sendSaves(ctx context.Context, r *remote) {
	failures := 0
	for {
		ids := r.saves.take()
		if len(ids) == 0 || m.providers.named(r.record.Name) != r {
			return
		}
		for _, id := range ids {
			err := m.deliver(ctx, r, id)
			if err == nil {
				failures = 0
				continue
			}
			m.log.Debug("a provider was not told; trying again", "provider", r.record.Name, "session", id, "error", err)
			r.saves.add(id)
			if !r.outage.wait(ctx, backoff(failures)) {
				return
			}
			failures++
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliverAll tells a provider all that it does not know of a device's sessions.
func (m *Manager) deliverAll(ctx context.Context, r *remote, id sessions.DeviceID) error {
	var list []sessions.Session
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		list, err = tx.Sessions(sessions.SessionFilter{Device: id})
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Provider != r.record.Name || !s.Unsaved {
			continue
		}
		if err := m.deliver(ctx, r, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// deliver tells a provider the state of a session. One at a time for each session:
// an older state that comes after a newer one would give back what was used.
func (m *Manager) deliver(ctx context.Context, r *remote, id sessions.SessionID) error {
	done, err := m.providers.telling.take(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	s, err := m.stored(ctx, id)
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && !s.Unsaved {
		return nil
	}
	if err != nil {
		return err
	}
	err = m.callFor(ctx, r, func(ctx context.Context) error { return r.call.Save(ctx, s.Token, sessions.DataOf(s)) })
	if sessions.CodeOf(err) == sessions.NotFound {
		return m.renew(ctx, r, s)
	}
	if err != nil {
		return err
	}
	if err := m.delivered(ctx, s); err != nil {
		return err
	}
	return m.reload(ctx, r, s)
}

// reload takes over what the provider changed of a session's allowances, as by a
// top-up on its side, while the session is not over.
func (m *Manager) reload(ctx context.Context, r *remote, sent sessions.Session) error {
	if sent.State.Final() {
		return nil
	}
	var data sessions.SessionData
	err := m.callFor(ctx, r, func(ctx context.Context) error {
		var err error
		data, err = r.call.Reload(ctx, sent.Token)
		return err
	})
	if err == nil {
		err = sessions.CheckProvided(sessions.ProvidedSession{Data: data})
	}
	if err != nil || !sent.SamePurchase(data) {
		m.log.Warn("a provider's changes are not taken over", "provider", r.record.Name, "session", sent.ID, "error", err)
		return nil // it was told; its next answer counts
	}
	now := sent
	if now.SetPurchase(data); sessions.DataOf(now).Equal(sessions.DataOf(sent)) {
		return nil
	}
	_, err = m.UpdateSession(ctx, sent.ID, sessions.SessionPatch{
		Type: &data.Type, Time: &data.Time, Bytes: &data.Bytes, ExpDays: &data.ExpDays,
		DownBPS: &data.DownBPS, UpBPS: &data.UpBPS, UseGlobalSpeed: &data.UseGlobalSpeed,
	})
	return err
}

// delivered notes that the provider knows the state that s is; whatever changed
// since is still to be told.
func (m *Manager) delivered(ctx context.Context, sent sessions.Session) error {
	return m.commit(ctx, func(c *change) error {
		s, err := c.Session(sent.ID)
		if sessions.CodeOf(err) == sessions.NotFound {
			return nil
		}
		if err != nil || !sessions.DataOf(s).Equal(sessions.DataOf(sent)) {
			return err
		}
		s.Unsaved = false
		return c.put(&s)
	})
}

// renew finds the token of a session again in a provider that was restarted. When
// the provider has it no more there is nobody to tell.
func (m *Manager) renew(ctx context.Context, r *remote, s sessions.Session) error {
	d, err := m.Device(ctx, s.Device)
	if err != nil {
		return err
	}
	var provided sessions.ProvidedSession
	var ok bool
	err = m.callFor(ctx, r, func(ctx context.Context) error {
		var err error
		provided, ok, err = r.call.GetSession(ctx, d)
		if err == nil && ok {
			err = m.checkOffer(r, d, provided)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !ok || !s.SamePurchase(provided.Data) {
		m.log.Warn("a provider does not know its session any more", "provider", r.record.Name, "session", s.ID)
		return m.delivered(ctx, s)
	}
	s.Token = provided.Token
	err = m.callFor(ctx, r, func(ctx context.Context) error { return r.call.Save(ctx, s.Token, sessions.DataOf(s)) })
	if err != nil {
		return err
	}
	return m.retoken(ctx, s)
}

// retoken stores the token that the provider gave anew.
func (m *Manager) retoken(ctx context.Context, sent sessions.Session) error {
	err := m.commit(ctx, func(c *change) error {
		s, err := c.Session(sent.ID)
		if err != nil {
			return err
		}
		s.Token = sent.Token
		return c.put(&s)
	})
	if err != nil {
		return err
	}
	return m.delivered(ctx, sent)
}
