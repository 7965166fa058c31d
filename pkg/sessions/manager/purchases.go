// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// CreateSession stores a purchase; it is on disk when this returns. It is not
// started: Connect does that, or the end of what runs. Codes: NotFound (the
// device), Invalid (also what would have no effect), Conflict (the reference is another
// session's).
func (m *Manager) CreateSession(ctx context.Context, spec sessions.SessionSpec) (sessions.Purchase, error) {
	if err := sessions.CheckSpec(spec); err != nil {
		return sessions.Purchase{}, err
	}
	if err := m.devices.Keep(ctx, spec.Device); err != nil {
		return sessions.Purchase{}, err
	}
	bought := sessions.Purchase{Session: spec.Session(), Claim: sessions.NewClaimCode()}
	s := &bought.Session
	err := m.ledger.Update(ctx, func(c *ledger.Tx) error {
		d, err := c.Device(s.Device)
		if err != nil {
			return err
		}
		s.Created = m.ledger.SaleTime(c.Now.Wall)
		if err := c.Put(s); err != nil {
			return err
		}
		if err := c.PutClaim(sessions.HashClaim(bought.Claim), s.ID); err != nil {
			return err
		}
		if err := c.KeepAnswer(ctx, bought); err != nil {
			return err
		}
		return c.Publish(c.NewEvent(sessions.SessionCreated, d, *s))
	})
	if err != nil {
		return sessions.Purchase{}, err
	}
	return bought, nil
}

// UpdateSession tops up, re-rates or otherwise changes a session. A running one
// obeys from the next packet, without a break. A consumed or expired one that has
// something left again can be started. Codes: NotFound, Invalid (also what would have no
// effect).
func (m *Manager) UpdateSession(ctx context.Context, id sessions.SessionID, patch sessions.SessionPatch) (sessions.Session, error) {
	return m.patch(ctx, id, patch, patch.CheckEffect)
}

// checkEffect is SessionPatch.CheckEffect.
type checkEffect func(before, after sessions.Session, now sessions.Instant) error

// asItSays is the checkEffect of what a provider changed.
func asItSays(_, _ sessions.Session, _ sessions.Instant) error { return nil }

func (m *Manager) patch(ctx context.Context, id sessions.SessionID, patch sessions.SessionPatch, check checkEffect) (sessions.Session, error) {
	s, err := m.ledger.Session(ctx, id)
	if err != nil {
		return s, err
	}
	if _, err := sessions.Patched(s, patch); err != nil {
		return sessions.Session{}, err
	}
	c, err := rewrite(ctx, m, s, patch, check)
	if err != nil {
		return sessions.Session{}, err
	}
	// Neither here nor at the disk the device's lock is held since the transaction:
	// of many top-ups of a session at the same time, one rule and one write do for all.
	if s, running := m.table.Session(id); running {
		if err := m.enforce.LockAndEnforce(context.WithoutCancel(ctx), s.Device); err != nil {
			m.enforce.RepairLater(s.Device, err) // what was bought is stored
		}
	}
	if err := m.ledger.Seal(c); err != nil {
		return sessions.Session{}, err
	}
	if err := endIfOver(context.WithoutCancel(ctx), m, id); err != nil {
		return sessions.Session{}, err
	}
	return m.Session(context.WithoutCancel(ctx), id)
}

// rewrite stores the patched session.
func rewrite(ctx context.Context, m *Manager, s sessions.Session, patch sessions.SessionPatch, check checkEffect) (*ledger.Tx, error) {
	s, held, err := m.enforce.LockOwner(ctx, s)
	if err != nil {
		return nil, err
	}
	defer held.Unlock()
	ctx = context.WithoutCancel(ctx)
	r, err := m.enforce.Read(s.Account())
	if err != nil {
		return nil, err
	}
	return m.ledger.Transact(ctx, func(c *ledger.Tx) error {
		s, err := c.Session(s.ID)
		if err != nil {
			return err
		}
		if r != nil && s.State == sessions.Running {
			s = sessions.AsOf(s, r, c.Now)
			s.Meter.At = c.Now.Boot // past its deadline nothing passed: what is added counts from now
		}
		before := s
		if s, err = sessions.Patched(s, patch); err != nil {
			return err
		}
		if err := check(before, s, c.Now); err != nil {
			return err
		}
		if err := putPatched(c, &s, patch); err != nil {
			return err
		}
		return c.KeepAnswer(ctx, sessions.Purchase{Session: s})
	})
}

func putPatched(c *ledger.Tx, s *sessions.Session, patch sessions.SessionPatch) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	if s.State != sessions.Running && (patch.ChangesBalance() || s.State == sessions.Available || s.State == sessions.Paused) {
		s.State = sessions.RestState(*s, c.Now)
	}
	if err := c.Save(s); err != nil {
		return err
	}
	return c.Publish(c.NewEvent(sessions.SessionUpdated, d, *s))
}

// endIfOver ends a running session that a patch left nothing of.
func endIfOver(ctx context.Context, m *Manager, id sessions.SessionID) error {
	s, err := m.ledger.Session(ctx, id)
	if err != nil || s.State != sessions.Running || !s.Exhausted() && !m.clock.Read().Expired(s) {
		return err
	}
	return m.settle.SettleRunning(ctx, []sessions.DeviceID{s.Device}, 0)
}

// DeleteSession removes a session. One that runs is stopped first, for the reason
// "deleted", and the device's next session starts. Of a registered provider's
// session the usage is delivered to the provider first. Codes: NotFound, Unavailable
// (the provider does not take it; nothing was changed).
func (m *Manager) DeleteSession(ctx context.Context, id sessions.SessionID) error {
	s, err := m.ledger.Session(ctx, id)
	if err != nil {
		return err
	}
	if m.providers.Delivers(s) {
		if err := m.settle.SettleRunning(ctx, []sessions.DeviceID{s.Device}, 0); err != nil {
			return err
		}
		if err := m.providers.DeliverBeforeDelete(ctx, s); err != nil {
			return err
		}
	}
	stopped, err := m.remove(ctx, s)
	if err != nil || stopped == nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	m.providers.DeliverLast(ctx, stopped.Last)
	return m.start.StartNextOrDisconnect(ctx, *stopped)
}

// remove deletes a session, and returns what it stopped for that.
func (m *Manager) remove(ctx context.Context, s sessions.Session) (*start.Ended, error) {
	s, held, err := m.enforce.LockOwner(ctx, s)
	if err != nil {
		return nil, err
	}
	defer held.Unlock()
	ctx = context.WithoutCancel(ctx)
	d, running, err := m.ledger.Lookup(ctx, s.Device)
	if err != nil {
		return nil, err
	}
	stop := running != nil && running.ID == s.ID
	var r *dataplane.Reading
	if stop {
		if err := m.enforce.Revoke(d.MAC); err != nil {
			return nil, err
		}
		r = m.enforce.LastReading(s.Account())
	}
	var last sessions.Session
	err = m.ledger.Update(ctx, func(c *ledger.Tx) error {
		var err error
		if last, err = deleteSession(c, d, s.ID, r); err != nil {
			return err
		}
		return c.KeepAnswer(ctx, sessions.Purchase{Session: last})
	})
	switch {
	case err != nil && stop:
		m.enforce.Restore(ctx, held, s.Device)
		return nil, err
	case err != nil || !stop:
		return nil, err
	}
	e := start.Ended{Device: d, Last: last, Reason: sessions.ReasonDeleted}
	m.start.Pending.Add(e)
	return &e, nil
}

func deleteSession(c *ledger.Tx, d sessions.Device, id sessions.SessionID, r *dataplane.Reading) (sessions.Session, error) {
	s, err := c.Session(id)
	if err != nil {
		return s, err
	}
	s = sessions.AsOf(s, r, c.Now)
	if s.State == sessions.Running {
		s.State = sessions.Paused
		e := c.NewEvent(sessions.SessionPaused, d, s)
		e.Reason = sessions.ReasonDeleted
		if err := c.Publish(e); err != nil {
			return s, err
		}
	}
	c.Stored = append(c.Stored, s) // it runs no more
	return s, c.Delete(d, s, sessions.ReasonDeleted)
}
