// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// CreateSession stores a purchase; it is on disk when this returns. It is not
// started: Connect does that, or the end of what runs. Codes: NotFound (the
// device), Invalid.
func (m *Manager) CreateSession(ctx context.Context, spec sessions.SessionSpec) (sessions.Purchase, error) {
	if err := sessions.CheckSpec(spec); err != nil {
		return sessions.Purchase{}, err
	}
	s := spec.Session()
	code := sessions.NewClaimCode()
	err := m.update(ctx, func(c *change) error {
		d, err := c.Device(s.Device)
		if err != nil {
			return err
		}
		s.Created = c.m.saleMoment(c.now.Wall)
		if err := c.put(&s); err != nil {
			return err
		}
		if err := c.PutClaim(sessions.HashClaim(code), s.ID); err != nil {
			return err
		}
		return c.event(c.of(sessions.SessionCreated, d, s))
	})
	if err != nil {
		return sessions.Purchase{}, err
	}
	return sessions.Purchase{Session: s, Claim: code}, nil
}

// saleMoment is the moment of a sale. It names the purchase in an export, so that no
// two have the same, also where the clock is coarse. The caller holds commits.
func (m *Manager) saleMoment(now time.Time) time.Time {
	if behind := m.sold.Sub(now); behind >= 0 && behind < time.Second {
		now = m.sold.Add(1)
	}
	m.sold = now
	return now
}

// UpdateSession tops up, re-rates or otherwise changes a session. A running one
// obeys from the next packet, without a break. A consumed or expired one that has
// something left again can be started. Codes: NotFound, Invalid.
func (m *Manager) UpdateSession(ctx context.Context, id sessions.SessionID, patch sessions.SessionPatch) (sessions.Session, error) {
	s, err := m.stored(ctx, id)
	if err != nil {
		return s, err
	}
	if _, err := sessions.Patched(s, patch); err != nil {
		return sessions.Session{}, err
	}
	c, err := m.rewrite(ctx, s, patch)
	if err != nil {
		return sessions.Session{}, err
	}
	// Neither here nor at the disk the device's lock is held since the transaction:
	// of many top-ups of a session at the same time, one rule and one write do for all.
	if s, _, running := m.live.session(id); running {
		if err := m.enforceLocked(context.WithoutCancel(ctx), s.Device); err != nil {
			m.repairLater(s.Device, err) // what was bought is stored
		}
	}
	if err := m.sealed(c); err != nil {
		return sessions.Session{}, err
	}
	if err := m.endIfOver(context.WithoutCancel(ctx), id); err != nil {
		return sessions.Session{}, err
	}
	return m.Session(context.WithoutCancel(ctx), id)
}

// lockOwner locks the device of a session as it was read, and returns the session as it
// is then. When it went to another device meanwhile, it is that one's lock.
func (m *Manager) lockOwner(ctx context.Context, s sessions.Session) (now sessions.Session, unlock func(), err error) {
	for {
		unlock := m.locks.lock(s.Device)
		now, err := m.stored(ctx, s.ID)
		if err == nil && now.Device == s.Device {
			return now, unlock, nil
		}
		unlock()
		if err != nil {
			return now, nil, err
		}
		s = now
	}
}

// rewrite stores the patched session.
func (m *Manager) rewrite(ctx context.Context, s sessions.Session, patch sessions.SessionPatch) (*change, error) {
	s, unlock, err := m.lockOwner(ctx, s)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	r, found, err := m.read(s.ID.Account())
	if err != nil {
		return nil, err
	}
	return m.transact(ctx, func(c *change) error {
		s, err := c.Session(s.ID)
		if err != nil {
			return err
		}
		if found && s.State == sessions.Running {
			s = sessions.AsOf(s, &r, c.now)
			s.Meter.At = c.now.Boot // past its deadline nothing passed: what is added counts from now
		}
		if s, err = sessions.Patched(s, patch); err != nil {
			return err
		}
		return c.rewrite(&s, patch)
	})
}

func (c *change) rewrite(s *sessions.Session, patch sessions.SessionPatch) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	if s.State != sessions.Running && (patch.ChangesBalance() || s.State == sessions.Available || s.State == sessions.Paused) {
		s.State = sessions.RestState(*s, c.now)
	}
	if err := c.save(s); err != nil {
		return err
	}
	return c.event(c.of(sessions.SessionUpdated, d, *s))
}

// endIfOver ends a running session that a patch left nothing of.
func (m *Manager) endIfOver(ctx context.Context, id sessions.SessionID) error {
	s, err := m.stored(ctx, id)
	if err != nil || s.State != sessions.Running || !s.Exhausted() && !m.now().Expired(s) {
		return err
	}
	return m.settleRunning(ctx, []sessions.DeviceID{s.Device}, 0)
}

// DeleteSession removes a session. One that runs is stopped first, for the reason
// "deleted", and the device's next session starts. Of a registered provider's
// session the provider is told first what was used. Codes: NotFound, Unavailable
// (the provider does not take it; nothing was changed).
func (m *Manager) DeleteSession(ctx context.Context, id sessions.SessionID) error {
	s, err := m.stored(ctx, id)
	if err != nil {
		return err
	}
	if err := m.tellBefore(ctx, s); err != nil {
		return err
	}
	stopped, err := m.remove(ctx, s)
	if err != nil || stopped == nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	m.tellAfter(ctx, stopped.last)
	return m.continueAfter(ctx, *stopped)
}

// tellBefore tells the provider of a session that is to be deleted what it used.
func (m *Manager) tellBefore(ctx context.Context, s sessions.Session) error {
	r := m.teller(s)
	if r == nil {
		return nil
	}
	if err := m.settleRunning(ctx, []sessions.DeviceID{s.Device}, 0); err != nil {
		return err
	}
	if err := m.deliver(ctx, r, s.ID); err != nil {
		return sessions.Errorf(sessions.Unavailable, "session %d cannot be deleted, for its provider %q was not told what it used: %w", s.ID, s.Provider, err)
	}
	return nil
}

// tellAfter tells the provider what a session used that ran until it was deleted.
// Little was used since tellBefore; it is lost if the provider does not take it.
func (m *Manager) tellAfter(ctx context.Context, last sessions.Session) {
	r := m.teller(last)
	if r == nil {
		return
	}
	done, err := m.providers.telling.take(ctx, last.ID)
	if err == nil {
		defer done()
		err = m.callFor(ctx, r, func(ctx context.Context) error { return r.call.Save(ctx, last.Token, sessions.DataOf(last)) })
	}
	if err != nil {
		m.log.Warn("a provider was not told the last usage of a deleted session", "provider", last.Provider, "session", last.ID, "error", err)
	}
}

// teller is who is told of a session's usage, nil for nobody.
func (m *Manager) teller(s sessions.Session) *remote {
	if s.Provider == sessions.LocalProvider {
		return nil
	}
	if r := m.providers.named(s.Provider); r != nil && r.call != nil {
		return r
	}
	return nil
}

// remove deletes a session, and returns what it stopped for that.
func (m *Manager) remove(ctx context.Context, s sessions.Session) (*ended, error) {
	s, unlock, err := m.lockOwner(ctx, s)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	d, running, err := m.lookup(ctx, s.Device)
	if err != nil {
		return nil, err
	}
	stop := running != nil && running.ID == s.ID
	var r *dataplane.Reading
	if stop {
		if err := m.revoke(d.MAC); err != nil {
			return nil, err
		}
		r = m.lastReading(s.ID)
	}
	var last sessions.Session
	err = m.update(ctx, func(c *change) error {
		var err error
		last, err = c.remove(d, s.ID, r)
		return err
	})
	switch {
	case err != nil && stop:
		m.restore(ctx, s.Device)
		return nil, err
	case err != nil || !stop:
		return nil, err
	}
	e := ended{device: d, last: last, reason: sessions.ReasonDeleted}
	m.gaps.enter(e)
	return &e, nil
}

func (c *change) remove(d sessions.Device, id sessions.SessionID, r *dataplane.Reading) (sessions.Session, error) {
	s, err := c.Session(id)
	if err != nil {
		return s, err
	}
	s = sessions.AsOf(s, r, c.now)
	e := c.of(sessions.SessionUpdated, d, s)
	if s.State == sessions.Running {
		e.Type, s.State = sessions.SessionPaused, sessions.Paused
	}
	e.Reason = sessions.ReasonDeleted
	if err := c.DeleteSession(id); err != nil {
		return s, err
	}
	c.stored = append(c.stored, s) // it runs no more
	return s, c.event(e)
}
