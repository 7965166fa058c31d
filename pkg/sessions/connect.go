// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Connect starts what the device has to consume. When it returns nil, packets
// pass. On a connected device it changes nothing. Codes: NotFound, NoSession, Full,
// Forbidden (a blocked device), Unavailable. notify goes into client.connected.
func (m *Manager) Connect(ctx context.Context, id DeviceID, notify string) (Status, error) {
	d, err := m.Device(ctx, id)
	if err != nil {
		return Status{}, err
	}
	if rule, ok := m.static[d.MAC]; ok {
		return m.connectStatic(ctx, d, rule)
	}
	s, err := m.Current(ctx, id)
	switch {
	case err == nil && m.nearEnd(s):
		err = m.settleRunning(ctx, SessionFilter{Device: id}, 0)
	case CodeOf(err) == NotConnected:
		err = nil
	default:
		return m.statusOr(ctx, id, err)
	}
	if err != nil {
		return Status{}, err
	}
	offers := m.ask(ctx, d)
	err = m.begin(ctx, id, offers, func(c *change, d Device, s Session) error {
		return c.connected(d, s, notify)
	})
	return m.statusOr(ctx, id, err)
}

// nearEnd reports whether a session that the store has as running may have ended
// in the kernel already, so that a Connect has to look closer.
func (m *Manager) nearEnd(s Session) bool {
	return s.spent() || s.writtenOff() || m.now().expired(s)
}

func (m *Manager) connectStatic(ctx context.Context, d Device, rule dataplane.Rule) (Status, error) {
	if rule.Verdict == dataplane.Block {
		return Status{}, Errorf(Forbidden, "device %d (%s) is blocked by the configuration", d.ID, d.MAC)
	}
	return m.Status(ctx, d.ID)
}

func (m *Manager) statusOr(ctx context.Context, id DeviceID, err error) (Status, error) {
	if err != nil {
		return Status{}, err
	}
	return m.Status(context.WithoutCancel(ctx), id)
}

// errChanged says that a session changed between being chosen and being started.
var errChanged = errors.New("the session changed meanwhile")

// begin starts a session of a device that has none running, and calls then in the
// same transaction. It succeeds and changes nothing when one runs.
func (m *Manager) begin(ctx context.Context, id DeviceID, offers []offer, then func(*change, Device, Session) error) error {
	defer m.locks.lock(id)()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := m.startOne(ctx, id, offers, then)
	if err == nil {
		m.gaps.leave(id)
	}
	return err
}

// startOne is begin for one who holds the device's lock.
func (m *Manager) startOne(ctx context.Context, id DeviceID, offers []offer, then func(*change, Device, Session) error) error {
	ctx = context.WithoutCancel(ctx)
	for {
		d, s, err := m.pick(ctx, id, offers)
		if err != nil || s == nil {
			return err
		}
		err = m.open(ctx, d, *s, then)
		if !errors.Is(err, errChanged) {
			return err
		}
		offers = nil // made before the change: taken again, it would undo it
	}
}

// pick returns the session to start; nil when one runs already.
func (m *Manager) pick(ctx context.Context, id DeviceID, offers []offer) (Device, *Session, error) {
	var d Device
	var list []Session
	var running bool
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		if d, err = tx.Device(id); err != nil {
			return err
		}
		if _, running, err = runningOf(tx, id); err != nil {
			return err
		}
		list, err = tx.Sessions(SessionFilter{Device: id, States: []State{Available, Paused}})
		return err
	})
	if err != nil || running {
		return d, nil, err
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
func (m *Manager) open(ctx context.Context, d Device, s Session, then func(*change, Device, Session) error) error {
	s, r, err := m.refresh(ctx, s)
	if err != nil {
		return err
	}
	at := m.now()
	planned := opened(s, r, at)
	if planned.spent() || limitMet(s, r) && planned.writtenOff() { // by packets that were counted late
		return m.settleSpent(ctx, d, s.ID, r)
	}
	if err := m.grant(d.MAC, ruleOf(planned, m.speeds(), at)); err != nil {
		return err
	}
	err = m.commit(ctx, func(c *change) error {
		s, err := c.Session(s.ID)
		if err != nil {
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
		return m.takeBack(d, err)
	}
	return nil
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
