// SPDX-License-Identifier: Apache-2.0

package sessions

// start makes a session the running one of its device, from the moment at; its
// baseline is already that of the kernel.
func (c *change) start(d Device, s *Session, at moment) error {
	if s.Started.Before(earliest) && (s.Started.IsZero() || at.sane) {
		s.Started = at.dated()
	}
	s.State = Running
	s.Meter.Boot, s.Meter.At = at.bootID, at.boot
	if err := c.save(s); err != nil {
		return err
	}
	c.known = append(c.known, d)
	return c.event(c.of(SessionStarted, d, *s))
}

// halt makes a settled, running session rest in the state that its balance says,
// or in next when that ends it, and publishes it.
func (c *change) halt(d Device, s *Session, next State, reason string) error {
	s.State = restState(*s, c.now)
	if next == Consumed || next == Expired {
		s.State = next
	}
	s.Meter.At, s.Meter.Boot = 0, ""
	if err := c.save(s); err != nil {
		return err
	}
	e := c.of(SessionPaused, d, *s)
	e.Reason = reason
	switch s.State {
	case Consumed:
		e.Type, e.Reason = SessionConsumed, ReasonConsumed
	case Expired:
		e.Type, e.Reason = SessionExpired, ReasonExpired
	}
	return c.event(e)
}

// connected and disconnected tell of the device.
func (c *change) connected(d Device, s Session, message string) error {
	e := c.of(ClientConnected, d, s)
	e.Message = message
	return c.event(e)
}

func (c *change) disconnected(d Device, s Session, reason, message string) error {
	e := c.of(ClientDisconnected, d, s)
	e.Reason, e.Message = reason, message
	return c.event(e)
}

// rest corrects the state of a session that does not run: spent or expired
// meanwhile.
func (c *change) rest(d Device, s *Session) error {
	state := restState(*s, c.now)
	if state != Consumed && state != Expired || state == s.State {
		return c.save(s)
	}
	return c.halt(d, s, state, "")
}

// warn publishes session.low once for an allowance.
func (c *change) warn(s *Session) error {
	if s.Meter.Low || !low(*s, c.m.cfg.LowBalancePercent) {
		return nil
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	s.Meter.Low = true
	return c.event(c.of(SessionLow, d, *s))
}
