// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// change is one write transaction with what follows from it once it committed.
type change struct {
	sessions.Tx
	now    sessions.Instant
	m      *Manager
	stored []sessions.Session // in order
	known  []sessions.Device  // of sessions that run, as they are now
	last   int64              // number of its last event; 0: none
}

// update runs fn in a transaction that is on the disk when it returns: for what was
// bought. Once begun it is not given up: the kernel may have been changed already.
func (m *Manager) update(ctx context.Context, fn func(*change) error) error {
	c, err := m.transact(ctx, fn)
	if err != nil {
		return err
	}
	return m.sealed(c)
}

// sealed returns when a transaction is on the disk, and publishes it.
func (m *Manager) sealed(c *change) error {
	if err := m.store.Sync(); err != nil {
		return err
	}
	m.publish(c)
	return nil
}

// commit is update for what was used: the disk has it some milliseconds after it
// returned. A machine that dies in these gives the customer back what was used since
// the last checkpoint, as it does in any others.
func (m *Manager) commit(ctx context.Context, fn func(*change) error) error {
	c, err := m.transact(ctx, fn)
	if err != nil {
		return err
	}
	if c.last > 0 || len(c.stored) > 0 {
		m.syncLater(c)
	}
	return nil
}

// transact brings what is remembered up to date when fn's transaction committed.
func (m *Manager) transact(ctx context.Context, fn func(*change) error) (*change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.commits.Lock()
	defer m.commits.Unlock()
	c := &change{m: m}
	err := m.store.Commit(context.WithoutCancel(ctx), func(tx sessions.Tx) error {
		*c = change{Tx: tx, m: m, now: m.now()}
		return fn(c)
	})
	if err != nil {
		return nil, err
	}
	m.live.apply(c.stored, c.known, c.now)
	return c, nil
}

// publish tells the world of a transaction that is on the disk: were it told before,
// a power cut could take back what subscribers and providers know already.
func (m *Manager) publish(c *change) {
	m.saveLater(c.stored)
	if c.last > 0 {
		m.hub.release(c.last)
	}
}

// save stores a session whose balance or state changed; its provider is told.
func (c *change) save(s *sessions.Session) error {
	s.Unsaved = s.Provider != sessions.LocalProvider
	return c.put(s)
}

// put stores a session without telling its provider.
func (c *change) put(s *sessions.Session) error {
	if err := c.PutSession(s); err != nil {
		return err
	}
	c.stored = append(c.stored, *s)
	return nil
}

// event appends an event at this moment.
func (c *change) event(e sessions.Event) error {
	e.Time = c.now.Wall
	if err := c.AppendEvent(&e); err != nil {
		return err
	}
	c.last = e.Seq
	c.m.hub.hold(e.Seq)
	return nil
}

// of begins an event about a device and a session.
func (c *change) of(kind sessions.EventType, d sessions.Device, s sessions.Session) sessions.Event {
	return sessions.Event{Type: kind, Device: d.ID, MAC: d.MAC.String(), Session: s.ID}
}

// runningOf returns the device's running session, if any.
func runningOf(tx sessions.Tx, id sessions.DeviceID) (sessions.Session, bool, error) {
	list, err := tx.Sessions(sessions.SessionFilter{Device: id, States: []sessions.State{sessions.Running}})
	if err != nil || len(list) == 0 {
		return sessions.Session{}, false, err
	}
	return list[0], true, nil
}
