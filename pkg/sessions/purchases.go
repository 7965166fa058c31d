// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// SessionSpec is a purchase.
type SessionSpec struct {
	Device         DeviceID
	Type           Type
	Time           time.Duration
	Bytes          uint64 // wire bytes, both directions summed
	ExpDays        *uint  // nil: never expires
	DownBPS, UpBPS uint64 // bit/s, 0 for no limit
	UseGlobalSpeed bool
}

// SessionPatch changes those fields of a session that are not nil. Time and Bytes
// are new totals, AddTime and AddBytes come on top.
type SessionPatch struct {
	Type           *Type
	Time, TimeUsed *time.Duration
	Bytes, Used    *uint64
	AddTime        *time.Duration
	AddBytes       *uint64
	AddTimeUsed    *time.Duration // on top of what is debited
	AddUsed        *uint64
	Started        *time.Time // first start, from which the expiry counts
	ExpDays        **uint     // pointer to nil: never expires
	DownBPS, UpBPS *uint64
	UseGlobalSpeed *bool
}

// CreateSession stores a purchase; it is on disk when this returns. It is not
// started: Connect does that, or the end of what runs. Codes: NotFound (the
// device), Invalid.
func (m *Manager) CreateSession(ctx context.Context, spec SessionSpec) (Purchase, error) {
	s := Session{
		Device: spec.Device, Provider: LocalProvider, Type: spec.Type, State: Available,
		Time: spec.Time, Bytes: spec.Bytes, ExpDays: cloned(spec.ExpDays),
		DownBPS: spec.DownBPS, UpBPS: spec.UpBPS, UseGlobalSpeed: spec.UseGlobalSpeed,
	}
	if err := checkPurchase(s); err != nil {
		return Purchase{}, err
	}
	code := newClaimCode()
	err := m.update(ctx, func(c *change) error {
		d, err := c.Device(s.Device)
		if err != nil {
			return err
		}
		s.Created = c.m.saleMoment(c.now.wall)
		if err := c.put(&s); err != nil {
			return err
		}
		if err := c.PutClaim(hashClaim(code), s.ID); err != nil {
			return err
		}
		return c.event(c.of(SessionCreated, d, s))
	})
	if err != nil {
		return Purchase{}, err
	}
	return Purchase{Session: s, Claim: code}, nil
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
func (m *Manager) UpdateSession(ctx context.Context, id SessionID, patch SessionPatch) (Session, error) {
	s, err := m.stored(ctx, id)
	if err != nil {
		return s, err
	}
	if _, err := patched(s, patch); err != nil {
		return Session{}, err
	}
	c, err := m.rewrite(ctx, s, patch)
	if err != nil {
		return Session{}, err
	}
	// Neither here nor at the disk the device's lock is held since the transaction:
	// of many top-ups of a session at the same time, one rule and one write do for all.
	if s, _, running := m.live.session(id); running {
		if err := m.enforceLocked(context.WithoutCancel(ctx), s.Device); err != nil {
			m.repairLater(s.Device, err) // what was bought is stored
		}
	}
	if err := m.sealed(c); err != nil {
		return Session{}, err
	}
	if err := m.endIfOver(context.WithoutCancel(ctx), id); err != nil {
		return Session{}, err
	}
	return m.Session(context.WithoutCancel(ctx), id)
}

// lockOwner locks the device of a session as it was read, and returns the session as it
// is then. When it went to another device meanwhile, it is that one's lock.
func (m *Manager) lockOwner(ctx context.Context, s Session) (now Session, unlock func(), err error) {
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
func (m *Manager) rewrite(ctx context.Context, s Session, patch SessionPatch) (*change, error) {
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
		if found && s.State == Running {
			s = settled(s, &r, c.now)
			s.Meter.At = c.now.boot // past its deadline nothing passed: what is added counts from now
		}
		if s, err = patched(s, patch); err != nil {
			return err
		}
		return c.rewrite(&s, patch)
	})
}

func (c *change) rewrite(s *Session, patch SessionPatch) error {
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	if s.State != Running && (patch.balance() || s.State == Available || s.State == Paused) {
		s.State = restState(*s, c.now)
	}
	if err := c.save(s); err != nil {
		return err
	}
	return c.event(c.of(SessionUpdated, d, *s))
}

// endIfOver ends a running session that a patch left nothing of.
func (m *Manager) endIfOver(ctx context.Context, id SessionID) error {
	s, err := m.stored(ctx, id)
	if err != nil || s.State != Running || !s.spent() && !m.now().expired(s) {
		return err
	}
	return m.settleRunning(ctx, []DeviceID{s.Device}, 0)
}

// DeleteSession removes a session. One that runs is stopped first, for the reason
// "deleted", and the device's next session starts. Of a registered provider's
// session the provider is told first what was used. Codes: NotFound, Unavailable
// (the provider does not take it; nothing was changed).
func (m *Manager) DeleteSession(ctx context.Context, id SessionID) error {
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
func (m *Manager) tellBefore(ctx context.Context, s Session) error {
	r := m.teller(s)
	if r == nil {
		return nil
	}
	if err := m.settleRunning(ctx, []DeviceID{s.Device}, 0); err != nil {
		return err
	}
	if err := m.deliver(ctx, r, s.ID); err != nil {
		return Errorf(Unavailable, "session %d cannot be deleted, for its provider %q was not told what it used: %w", s.ID, s.Provider, err)
	}
	return nil
}

// tellAfter tells the provider what a session used that ran until it was deleted.
// Little was used since tellBefore; it is lost if the provider does not take it.
func (m *Manager) tellAfter(ctx context.Context, last Session) {
	r := m.teller(last)
	if r == nil {
		return
	}
	done, err := m.providers.telling.take(ctx, last.ID)
	if err == nil {
		defer done()
		err = m.callFor(ctx, r, func(ctx context.Context) error { return r.call.Save(ctx, last.Token, dataOf(last)) })
	}
	if err != nil {
		m.log.Warn("a provider was not told the last usage of a deleted session", "provider", last.Provider, "session", last.ID, "error", err)
	}
}

// teller is who is told of a session's usage, nil for nobody.
func (m *Manager) teller(s Session) *remote {
	if s.Provider == LocalProvider {
		return nil
	}
	if r := m.providers.named(s.Provider); r != nil && r.call != nil {
		return r
	}
	return nil
}

// remove deletes a session, and returns what it stopped for that.
func (m *Manager) remove(ctx context.Context, s Session) (*ended, error) {
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
	var last Session
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
	e := ended{device: d, last: last, reason: ReasonDeleted}
	m.gaps.enter(e)
	return &e, nil
}

func (c *change) remove(d Device, id SessionID, r *dataplane.Reading) (Session, error) {
	s, err := c.Session(id)
	if err != nil {
		return s, err
	}
	s = settled(s, r, c.now)
	e := c.of(SessionUpdated, d, s)
	if s.State == Running {
		e.Type, s.State = SessionPaused, Paused
	}
	e.Reason = ReasonDeleted
	if err := c.DeleteSession(id); err != nil {
		return s, err
	}
	c.stored = append(c.stored, s) // it runs no more
	return s, c.event(e)
}

func cloned(days *uint) *uint {
	if days == nil {
		return nil
	}
	d := *days
	return &d
}
