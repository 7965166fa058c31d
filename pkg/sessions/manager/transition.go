// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// start makes a session the running one of its device, from the moment at; its
// baseline is already that of the kernel.
func (c *change) start(d sessions.Device, s *sessions.Session, at sessions.Instant) error {
	if s.Started.Before(sessions.EarliestClock) && (s.Started.IsZero() || at.WallTrusted) {
		s.Started = at.StartTime()
	}
	s.State = sessions.Running
	s.Meter.Boot, s.Meter.At = at.BootID, at.Boot
	if err := c.save(s); err != nil {
		return err
	}
	c.known = append(c.known, d)
	return c.event(c.of(sessions.SessionStarted, d, *s))
}

// halt makes a settled, running session rest in the state that its balance says,
// or in next when that ends it, and publishes it.
func (c *change) halt(d sessions.Device, s *sessions.Session, next sessions.State, reason string) error {
	s.State = sessions.RestState(*s, c.now)
	if next.Final() {
		s.State = next
	}
	s.Meter.At, s.Meter.Boot = 0, ""
	if err := c.save(s); err != nil {
		return err
	}
	e := c.of(sessions.SessionPaused, d, *s)
	e.Reason = reason
	switch s.State {
	case sessions.Consumed:
		e.Type, e.Reason = sessions.SessionConsumed, sessions.ReasonConsumed
	case sessions.Expired:
		e.Type, e.Reason = sessions.SessionExpired, sessions.ReasonExpired
	}
	return c.event(e)
}

// connected and disconnected tell of the device.
func (c *change) connected(d sessions.Device, s sessions.Session, message string) error {
	e := c.of(sessions.ClientConnected, d, s)
	e.Message = message
	return c.event(e)
}

func (c *change) disconnected(d sessions.Device, s sessions.Session, reason, message string) error {
	e := c.of(sessions.ClientDisconnected, d, s)
	e.Reason, e.Message = reason, message
	return c.event(e)
}

// rest corrects the state of a session that does not run: spent or expired
// meanwhile.
func (c *change) rest(d sessions.Device, s *sessions.Session) error {
	state := sessions.RestState(*s, c.now)
	if !state.Final() || state == s.State {
		return c.save(s)
	}
	return c.halt(d, s, state, "")
}

// warn publishes session.low once for an allowance.
func (c *change) warn(s *sessions.Session) error {
	if s.Meter.Low || !sessions.IsLow(*s, c.m.cfg.LowBalancePercent) {
		return nil
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	s.Meter.Low = true
	return c.event(c.of(sessions.SessionLow, d, *s))
}
