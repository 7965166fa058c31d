// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Connect starts what the device has to consume. When it returns nil, packets
// pass. On a connected device it changes nothing, but that one which is bound to an
// address it gave up is bound to its new one. Codes: NotFound, NoSession, Full,
// Forbidden (a blocked device), Unavailable. notify goes into client.connected.
func (m *Manager) Connect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error) {
	if s, _, running := m.live.running(id); running && m.nearEnd(m.overlay(s, m.now())) {
		if err := m.settleRunning(ctx, []sessions.DeviceID{id}, 0); err != nil {
			return sessions.Status{}, err
		}
	}
	if err := m.rebind(ctx, id); err != nil {
		return sessions.Status{}, err
	}
	offers, err := m.offers(ctx, id)
	if err != nil {
		return sessions.Status{}, err
	}
	d, s, err := m.begin(ctx, id, offers, func(c *change, d sessions.Device, s sessions.Session) error {
		return c.connected(d, s, notify)
	})
	if err != nil {
		return sessions.Status{}, err
	}
	return m.statusOf(d, s)
}

// nearEnd reports whether a session that is remembered as running may have ended in
// the kernel already, so that a Connect has to look closer.
func (m *Manager) nearEnd(s sessions.Session) bool {
	return s.Exhausted() || s.BelowOnePacket() || m.now().Expired(s)
}

// offers asks the providers, if there are any, what the device has.
func (m *Manager) offers(ctx context.Context, id sessions.DeviceID) ([]offer, error) {
	if _, _, running := m.live.running(id); running || !m.providers.any() {
		return nil, nil
	}
	d, err := m.Device(ctx, id)
	if err != nil || m.static[d.MAC].Verdict != 0 {
		return nil, err
	}
	return m.ask(ctx, d), nil
}

// errChanged says that a session changed between being chosen and being started.
var errChanged = errors.New("the session changed meanwhile")

// begin starts a session of a device that has none running, and calls then in the
// same transaction. It succeeds and changes nothing when one runs, or when the
// configuration lets the device through. It returns what runs then, nil for nothing.
func (m *Manager) begin(ctx context.Context, id sessions.DeviceID, offers []offer, then func(*change, sessions.Device, sessions.Session) error) (sessions.Device, *sessions.Session, error) {
	defer m.locks.lock(id)()
	if err := ctx.Err(); err != nil {
		return sessions.Device{}, nil, err
	}
	d, s, err := m.startOne(ctx, id, offers, then)
	if err == nil {
		m.gaps.leave(id)
	}
	return d, s, err
}

// startOne is begin for one who holds the device's lock.
func (m *Manager) startOne(ctx context.Context, id sessions.DeviceID, offers []offer, then func(*change, sessions.Device, sessions.Session) error) (sessions.Device, *sessions.Session, error) {
	ctx = context.WithoutCancel(ctx)
	for {
		d, s, err := m.pick(ctx, id, offers)
		if err != nil || s == nil || s.State == sessions.Running {
			return d, s, err
		}
		started, err := m.open(ctx, d, *s, then)
		if err == nil {
			return d, &started, nil
		}
		if !errors.Is(err, errChanged) {
			return d, nil, err
		}
		offers = nil // made before the change: taken again, it would undo it
	}
}

// pick returns the session to start, or the one that runs already; nil for a device
// that needs none.
func (m *Manager) pick(ctx context.Context, id sessions.DeviceID, offers []offer) (sessions.Device, *sessions.Session, error) {
	var d sessions.Device
	var list []sessions.Session
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		if d, err = tx.Device(id); err == nil {
			list, err = tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Running, sessions.Available, sessions.Paused}})
		}
		return err
	})
	if err != nil {
		return d, nil, err
	}
	if rule, ok := m.static[d.MAC]; ok {
		if rule.Verdict == dataplane.Block {
			return d, nil, sessions.Errorf(sessions.Forbidden, "device %d (%s) is blocked by the configuration", id, d.MAC)
		}
		return d, nil, nil
	}
	if i := slices.IndexFunc(list, func(s sessions.Session) bool { return s.State == sessions.Running }); i >= 0 {
		return d, &list[i], nil
	}
	if err := m.expire(ctx, list); err != nil {
		return d, nil, err
	}
	s, ok, err := m.take(ctx, d, list, offers)
	if err != nil {
		return d, nil, err
	}
	if !ok {
		return d, nil, sessions.Errorf(sessions.NoSession, "device %d (%s) has nothing to consume: buy it a session first", id, d.MAC)
	}
	return d, &s, nil
}

// take chooses among the offers of providers, then among what was sold here.
func (m *Manager) take(ctx context.Context, d sessions.Device, list []sessions.Session, offers []offer) (sessions.Session, bool, error) {
	for _, o := range offers {
		s, err := m.adopt(ctx, d, o)
		if err != nil {
			return s, false, err
		}
		if sessions.Usable(s, m.now()) {
			return s, true, nil
		}
	}
	s, ok := sessions.Choose(sessions.LocalOnly(list), m.now())
	return s, ok, nil
}

// open grants a session and stores that it runs. The kernel comes first: it alone
// knows whether there is room, and then nothing is left behind. Should the agent
// die in between, reconciling takes the grant back and debits what passed.
func (m *Manager) open(ctx context.Context, d sessions.Device, s sessions.Session, then func(*change, sessions.Device, sessions.Session) error) (sessions.Session, error) {
	s, r, err := m.refresh(ctx, s)
	if err != nil {
		return s, err
	}
	at := m.now()
	planned := sessions.AsStarted(s, r, at)
	if planned.Exhausted() || sessions.LimitMet(s, r) && planned.BelowOnePacket() { // by packets that were counted late
		return s, m.settleSpent(ctx, d, s.ID, r)
	}
	if err := m.grant(d.MAC, m.rule(planned, d.BoundIPv4(), at)); err != nil {
		return s, err
	}
	err = m.commit(ctx, func(c *change) error {
		var err error
		if s, err = c.Session(s.ID); err != nil {
			return err
		}
		if r != nil {
			sessions.DebitBytes(&s, *r)
		}
		if !sessions.Usable(s, at) {
			return errChanged
		}
		if err := c.start(d, &s, at); err != nil {
			return err
		}
		return then(c, d, s)
	})
	if err != nil {
		return s, m.takeBack(d, err)
	}
	return s, nil
}

// takeBack revokes a grant whose transaction failed.
func (m *Manager) takeBack(d sessions.Device, cause error) error {
	if err := m.revoke(d.MAC); err != nil {
		m.repairLater(d.ID, err)
	}
	return cause
}

// settleSpent debits a late count that used up a paused session, and has another
// one picked.
func (m *Manager) settleSpent(ctx context.Context, d sessions.Device, id sessions.SessionID, r *dataplane.Reading) error {
	err := m.commit(ctx, func(c *change) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		sessions.DebitBytes(&s, *r)
		return c.halt(d, &s, sessions.Consumed, "")
	})
	if err != nil {
		return err
	}
	return errChanged
}
