// SPDX-License-Identifier: Apache-2.0

package sessions

import "context"

// change is one write transaction with what follows from it in memory once it
// committed.
type change struct {
	Tx
	now    moment
	m      *Manager
	stored []Session // in order
	events int
}

// update runs fn in a transaction. When it committed, live figures are brought up
// to date, subscribers are told of its events, and providers of their sessions.
// Once begun it is not given up: the kernel may have been changed already.
func (m *Manager) update(ctx context.Context, fn func(*change) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.commits.Lock()
	defer m.commits.Unlock()
	c := &change{m: m}
	err := m.store.Update(context.WithoutCancel(ctx), func(tx Tx) error {
		*c = change{Tx: tx, m: m, now: m.now()}
		return fn(c)
	})
	if err != nil {
		return err
	}
	m.live.apply(c.stored, c.now)
	m.saveLater(c.stored)
	if c.events > 0 {
		m.hub.notify()
	}
	return nil
}

// save stores a session whose balance or state changed; its provider is told.
func (c *change) save(s *Session) error {
	s.Unsaved = s.Provider != LocalProvider
	return c.put(s)
}

// put stores a session without telling its provider.
func (c *change) put(s *Session) error {
	if err := c.PutSession(s); err != nil {
		return err
	}
	c.stored = append(c.stored, *s)
	return nil
}

// event appends an event at this moment.
func (c *change) event(e Event) error {
	e.Time = c.now.wall
	c.events++
	return c.AppendEvent(&e)
}

// of begins an event about a device and a session.
func (c *change) of(kind EventType, d Device, s Session) Event {
	return Event{Type: kind, Device: d.ID, MAC: d.MAC.String(), Session: s.ID}
}

// runningOf returns the device's running session, if any.
func runningOf(tx Tx, id DeviceID) (Session, bool, error) {
	list, err := tx.Sessions(SessionFilter{Device: id, States: []State{Running}})
	if err != nil || len(list) == 0 {
		return Session{}, false, err
	}
	return list[0], true, nil
}
