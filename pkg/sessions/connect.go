// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Connect starts what the device has to consume. When it returns nil, packets
// pass. On a connected device it changes nothing, but that one which is bound to an
// address it gave up is bound to its new one. Codes: NotFound, NoSession, Full,
// Forbidden (a blocked device), Unavailable. notify goes into client.connected.
func (m *Manager) Connect(ctx context.Context, id DeviceID, notify string) (Status, error) {
	if s, _, running := m.live.running(id); running && m.nearEnd(m.overlay(s, m.now())) {
		if err := m.settleRunning(ctx, []DeviceID{id}, 0); err != nil {
			return Status{}, err
		}
	}
	if err := m.rebind(ctx, id); err != nil {
		return Status{}, err
	}
	offers, err := m.offers(ctx, id)
	if err != nil {
		return Status{}, err
	}
	d, s, err := m.begin(ctx, id, offers, func(c *change, d Device, s Session) error {
		return c.connected(d, s, notify)
	})
	if err != nil {
		return Status{}, err
	}
	return m.statusOf(d, s)
}

// nearEnd reports whether a session that is remembered as running may have ended in
// the kernel already, so that a Connect has to look closer.
func (m *Manager) nearEnd(s Session) bool {
	return s.spent() || s.writtenOff() || m.now().expired(s)
}

// offers asks the providers, if there are any, what the device has.
func (m *Manager) offers(ctx context.Context, id DeviceID) ([]offer, error) {
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
func (m *Manager) begin(ctx context.Context, id DeviceID, offers []offer, then func(*change, Device, Session) error) (Device, *Session, error) {
	defer m.locks.lock(id)()
	if err := ctx.Err(); err != nil {
		return Device{}, nil, err
	}
	d, s, err := m.startOne(ctx, id, offers, then)
	if err == nil {
		m.gaps.leave(id)
	}
	return d, s, err
}

// startOne is begin for one who holds the device's lock.
func (m *Manager) startOne(ctx context.Context, id DeviceID, offers []offer, then func(*change, Device, Session) error) (Device, *Session, error) {
	ctx = context.WithoutCancel(ctx)
	for {
		d, s, err := m.pick(ctx, id, offers)
		if err != nil || s == nil || s.State == Running {
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
func (m *Manager) pick(ctx context.Context, id DeviceID, offers []offer) (Device, *Session, error) {
	var d Device
	var list []Session
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		if d, err = tx.Device(id); err == nil {
			list, err = tx.Sessions(SessionFilter{Device: id, States: []State{Running, Available, Paused}})
		}
		return err
	})
	if err != nil {
		return d, nil, err
	}
	if rule, ok := m.static[d.MAC]; ok {
		if rule.Verdict == dataplane.Block {
			return d, nil, Errorf(Forbidden, "device %d (%s) is blocked by the configuration", id, d.MAC)
		}
		return d, nil, nil
	}
	if i := slices.IndexFunc(list, func(s Session) bool { return s.State == Running }); i >= 0 {
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
		return d, nil, Errorf(NoSession, "device %d (%s) has nothing to consume: buy it a session first", id, d.MAC)
	}
	return d, &s, nil
}

// take chooses among the offers of providers, then among what was sold here.
func (m *Manager) take(ctx context.Context, d Device, list []Session, offers []offer) (Session, bool, error) {
	for _, o := range offers {
		s, err := m.adopt(ctx, d, o)
		if err != nil {
			return s, false, err
		}
		if usable(s, m.now()) {
			return s, true, nil
		}
	}
	s, ok := choose(localOnly(list), m.now())
	return s, ok, nil
}

func localOnly(list []Session) []Session {
	var local []Session
	for _, s := range list {
		if s.Provider == LocalProvider {
			local = append(local, s)
		}
	}
	return local
}

// open grants a session and stores that it runs. The kernel comes first: it alone
// knows whether there is room, and then nothing is left behind. Should the agent
// die in between, reconciling takes the grant back and debits what passed.
func (m *Manager) open(ctx context.Context, d Device, s Session, then func(*change, Device, Session) error) (Session, error) {
	s, r, err := m.refresh(ctx, s)
	if err != nil {
		return s, err
	}
	at := m.now()
	planned := opened(s, r, at)
	if planned.spent() || limitMet(s, r) && planned.writtenOff() { // by packets that were counted late
		return s, m.settleSpent(ctx, d, s.ID, r)
	}
	if err := m.grant(d.MAC, m.rule(planned, d.bound(), at)); err != nil {
		return s, err
	}
	err = m.commit(ctx, func(c *change) error {
		var err error
		if s, err = c.Session(s.ID); err != nil {
			return err
		}
		if r != nil {
			debitBytes(&s, *r)
		}
		if !usable(s, at) {
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

// opened is the session as it will be once it runs.
func opened(s Session, r *dataplane.Reading, at moment) Session {
	if r != nil {
		debitBytes(&s, *r)
	}
	if s.Started.Before(earliest) {
		s.Started = at.wall
	}
	s.State = Running
	s.Meter.Boot, s.Meter.At = at.bootID, at.boot
	return s
}

// takeBack revokes a grant whose transaction failed.
func (m *Manager) takeBack(d Device, cause error) error {
	if err := m.revoke(d.MAC); err != nil {
		m.repairLater(d.ID, err)
	}
	return cause
}

// settleSpent debits a late count that used up a paused session, and has another
// one picked.
func (m *Manager) settleSpent(ctx context.Context, d Device, id SessionID, r *dataplane.Reading) error {
	err := m.commit(ctx, func(c *change) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		debitBytes(&s, *r)
		return c.halt(d, &s, Consumed, "")
	})
	if err != nil {
		return err
	}
	return errChanged
}
