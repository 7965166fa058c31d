// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// MoveSession gives a session to another device. One that runs goes on there, and the
// device it leaves is cut off, both before MoveSession returns; where something runs
// already it is paused. No byte is lost: its account goes along. Codes: NotFound,
// Invalid (the session is a provider's), Forbidden (the device is blocked), Full.
func (m *Manager) MoveSession(ctx context.Context, id sessions.SessionID, to sessions.DeviceID) (sessions.Session, error) {
	return m.moveSession(ctx, id, to, sessions.ReasonMoved)
}

func (m *Manager) moveSession(ctx context.Context, id sessions.SessionID, to sessions.DeviceID, reason string) (sessions.Session, error) {
	for {
		s, err := m.stored(ctx, id)
		if err != nil || s.Device == to {
			return s, err
		}
		if s.Provider != sessions.LocalProvider {
			return sessions.Session{}, sessions.Invalidf("device", "session %d is of provider %q, which says whose it is", id, s.Provider)
		}
		moved, err := m.moveFrom(ctx, s.Device, id, to, reason)
		if err != nil {
			return sessions.Session{}, err
		}
		if moved {
			return m.Session(context.WithoutCancel(ctx), id)
		}
	}
}

// relocation is the move of one session.
type relocation struct {
	id       sessions.SessionID
	from, to sessions.Device
	running  bool // at from
	goesOn   bool // at to
	reason   string
}

// moveFrom moves a session, unless it is another device's meanwhile.
func (m *Manager) moveFrom(ctx context.Context, from sessions.DeviceID, id sessions.SessionID, to sessions.DeviceID, reason string) (moved bool, err error) {
	defer m.locks.lock(from, to)()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ctx = context.WithoutCancel(ctx)
	r := relocation{id: id, reason: reason}
	var here, there *sessions.Session
	if r.from, here, err = m.lookup(ctx, from); err != nil {
		return false, err
	}
	if r.to, there, err = m.lookup(ctx, to); err != nil {
		return false, err
	}
	rule, static := m.static[r.to.MAC]
	if static && rule.Verdict == dataplane.Block {
		return false, sessions.Errorf(sessions.Forbidden, "device %d (%s) is blocked by the configuration", to, r.to.MAC)
	}
	r.running = here != nil && here.ID == id
	r.goesOn = r.running && there == nil && !static
	if m.cfg.Bind == sessions.BindIP && r.goesOn {
		r.to.Bound = sessions.AddressOf(r.to, m.locate(r.to.MAC))
	}
	if err := m.swapRules(r, here); err != nil {
		return false, err
	}
	var reading *dataplane.Reading
	if r.running && !r.goesOn {
		reading = m.lastReading(id)
	}
	err = m.update(ctx, func(c *change) error {
		moved, err = c.relocate(r, reading)
		return err
	})
	if err != nil && r.running {
		m.restore(ctx, to) // committed it may be, and not on the disk
		m.restore(ctx, from)
	}
	return moved, err
}

// swapRules lets the new device in, with the same account, and the old one no more.
func (m *Manager) swapRules(r relocation, s *sessions.Session) error {
	if !r.running {
		return nil
	}
	if r.goesOn {
		if err := m.grant(r.to.MAC, m.rule(*s, r.to.BoundIPv4(), m.now())); err != nil {
			return err
		}
	}
	err := m.revoke(r.from.MAC)
	if err != nil && r.goesOn {
		_ = m.revoke(r.to.MAC) // as it was; else reconciling takes it back
	}
	return err
}

// relocate stores it. A session that is not from's any more stays as it is.
func (c *change) relocate(r relocation, reading *dataplane.Reading) (moved bool, err error) {
	s, err := c.Session(r.id)
	if err != nil || s.Device != r.from.ID {
		return false, err
	}
	if r.running && !r.goesOn {
		if err := c.m.halting(r.from, r.id, reading, r.reason, "")(c); err != nil {
			return false, err
		}
		if s, err = c.Session(r.id); err != nil {
			return false, err
		}
	}
	s.Device = r.to.ID
	if err := c.save(&s); err != nil {
		return false, err
	}
	e := c.of(sessions.SessionUpdated, r.to, s)
	e.Reason = r.reason
	if err := c.event(e); err != nil {
		return false, err
	}
	if !r.goesOn {
		return true, nil
	}
	return true, c.goOn(r, s)
}

// goOn tells of a running session that changed devices.
func (c *change) goOn(r relocation, s sessions.Session) error {
	to, err := c.Device(r.to.ID) // its name and addresses may be newer
	if err != nil {
		return err
	}
	if c.m.cfg.Bind == sessions.BindIP {
		to.Bound = r.to.Bound
		if err := c.PutDevice(&to); err != nil {
			return err
		}
	}
	c.known = append(c.known, to)
	if err := c.disconnected(r.from, s, r.reason, ""); err != nil {
		return err
	}
	return c.connected(to, s, "")
}
