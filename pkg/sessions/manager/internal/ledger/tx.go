// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Tx is one write transaction with what follows from it once it committed.
type Tx struct {
	sessions.Tx
	Now    sessions.Instant
	ledger *Ledger
	Stored []sessions.Session // in order
	Known  []sessions.Device  // of sessions that run, as they are now
	last   int64              // number of its last event; 0: none
	after  []func()
}

// AfterCommit has fn called once the transaction committed, before any later one begins:
// memory must not change by a transaction that fails.
func (c *Tx) AfterCommit(fn func()) { c.after = append(c.after, fn) }

// Save stores a session whose balance or state changed; its usage is to be
// delivered to its provider.
func (c *Tx) Save(s *sessions.Session) error {
	s.Unsaved = s.Provider != sessions.LocalProvider
	return c.Put(s)
}

// Put stores a session of which there is nothing to deliver.
func (c *Tx) Put(s *sessions.Session) error {
	switch {
	case !s.State.Final():
		s.Ended = time.Time{}
	case s.Ended.IsZero():
		s.Ended = c.Now.Wall
	}
	if err := c.PutSession(s); err != nil {
		return err
	}
	c.Stored = append(c.Stored, *s)
	return nil
}

// Delete deletes a session that does not run, and publishes it.
func (c *Tx) Delete(d sessions.Device, s sessions.Session, reason string) error {
	if err := c.DeleteSession(s.ID); err != nil {
		return err
	}
	e := c.NewEvent(sessions.SessionDeleted, d, s)
	e.Reason = reason
	return c.Publish(e)
}

// KeepAnswer stores what the request is answered for which the verb was called, if there
// is one: with the change, so that a repeated request finds it whatever comes between.
func (c *Tx) KeepAnswer(ctx context.Context, p sessions.Purchase) error {
	r := sessions.RequestOf(ctx)
	if r == nil || r.Seal == nil {
		return nil
	}
	sealed, err := r.Seal(p)
	if err != nil {
		return err
	}
	return c.PutAnswer(sessions.Answer{Key: r.Key, Request: r.Request, Sealed: sealed, Created: c.Now.Wall})
}

// Publish appends an event with the time of the transaction.
func (c *Tx) Publish(e sessions.Event) error {
	e.Time = c.Now.Wall
	if err := c.AppendEvent(&e); err != nil {
		return err
	}
	c.last = e.Seq
	c.ledger.hub.hold(e.Seq)
	return nil
}

// NewEvent begins an event about a device and a session.
func (c *Tx) NewEvent(kind sessions.EventType, d sessions.Device, s sessions.Session) sessions.Event {
	return sessions.Event{Type: kind, Device: d.ID, MAC: d.MAC.String(), Session: s.ID}
}

// Start makes a session the running one of its device, from at on; its
// baseline is already that of the kernel.
func (c *Tx) Start(d sessions.Device, s *sessions.Session, at sessions.Instant) error {
	if s.Started.Before(dataplane.EarliestClock) && (s.Started.IsZero() || at.WallTrusted) {
		s.Started = at.StartTime()
	}
	s.State = sessions.Running
	s.Meter.Boot, s.Meter.At = at.BootID, at.Boot
	if err := c.Save(s); err != nil {
		return err
	}
	c.Known = append(c.Known, d)
	return c.Publish(c.NewEvent(sessions.SessionStarted, d, *s))
}

// Stop makes a settled, running session rest in the state that its balance says,
// or in next when that ends it, and publishes it.
func (c *Tx) Stop(d sessions.Device, s *sessions.Session, next sessions.State, reason string) error {
	s.State = sessions.RestState(*s, c.Now)
	if next.Final() {
		s.State = next
	}
	s.Meter.At, s.Meter.Boot = 0, ""
	if err := c.Save(s); err != nil {
		return err
	}
	e := c.NewEvent(sessions.SessionPaused, d, *s)
	e.Reason = reason
	switch s.State {
	case sessions.Consumed:
		e.Type, e.Reason = sessions.SessionConsumed, sessions.ReasonConsumed
	case sessions.Expired:
		e.Type, e.Reason = sessions.SessionExpired, sessions.ReasonExpired
	}
	return c.Publish(e)
}

// Connected publishes client.connected.
func (c *Tx) Connected(d sessions.Device, s sessions.Session, message string) error {
	e := c.NewEvent(sessions.ClientConnected, d, s)
	e.Message = message
	return c.Publish(e)
}

// Disconnected publishes client.disconnected.
func (c *Tx) Disconnected(d sessions.Device, s sessions.Session, reason, message string) error {
	e := c.NewEvent(sessions.ClientDisconnected, d, s)
	e.Reason, e.Message = reason, message
	return c.Publish(e)
}

// SettleIdle corrects the state of a session that does not run: spent or expired
// meanwhile.
func (c *Tx) SettleIdle(d sessions.Device, s *sessions.Session) error {
	state := sessions.RestState(*s, c.Now)
	if !state.Final() || state == s.State {
		return c.Save(s)
	}
	return c.Stop(d, s, state, "")
}

// PublishLow publishes session.low once for an allowance.
func (c *Tx) PublishLow(s *sessions.Session) error {
	if s.Meter.Low || !sessions.IsLow(*s, c.ledger.cfg.LowBalancePercent) {
		return nil
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	s.Meter.Low = true
	return c.Publish(c.NewEvent(sessions.SessionLow, d, *s))
}
