// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

const (
	sharedWithin  = time.Minute
	mostKnown     = 8 // values of each kind that are remembered of a session's MAC
	mostConflicts = 8 // told of a session in conflictsPer, and remembered
	conflictsPer  = time.Minute
)

// conflict is one change of where a MAC is seen.
type conflict struct {
	differs, before, after, reason string
	at                             dataplane.Boottime
}

// same reports a conflict about the same two values.
func (c conflict) same(d conflict) bool {
	return c.differs == d.differs && c.reason == d.reason &&
		(c.before == d.before && c.after == d.after || c.before == d.after && c.after == d.before)
}

// sightings are where the MAC of a running session was seen. Nearly all are seen at one
// place, and then that is all that is kept: there may be 100,000.
type sightings struct {
	begun bool           // with what was known of the device before
	now   [traits]string // "": not seen yet
	moves *moves         // nil: none
}

// traitNames are in the order of sightings.now.
var traitNames = [traits]string{sessions.DiffersAddress, sessions.DiffersHostname, sessions.DiffersPort}

const traits = 3

// moves are what a MAC had, and has no more.
type moves struct {
	former [traits]former
	told   []conflict // oldest first
}

type former struct {
	last  string
	left  dataplane.Boottime // when last was given up for now
	known []string           // all that were seen, latest last
}

// begin takes in what was known of a device before.
func (s *sightings) begin(d sessions.Device) {
	s.begun = true
	if ip := d.IPv4(); ip.IsValid() {
		s.set(trait(sessions.DiffersAddress), ip.String())
	}
	if d.Hostname != "" {
		s.set(trait(sessions.DiffersHostname), d.Hostname)
	}
}

// trait is the index of one of the things that a MAC has one of.
func trait(differs string) int { return slices.Index(traitNames[:], differs) }

func (s *sightings) set(i int, value string) {
	if before := s.now[i]; before != "" && before != value {
		s.note(i, before)
	}
	s.now[i] = value
}

// note remembers a value, and reports whether it was known.
func (s *sightings) note(i int, value string) (known bool) {
	if s.moves == nil {
		s.moves = &moves{}
	}
	f := &s.moves.former[i]
	if slices.Contains(f.known, value) {
		return true
	}
	if len(f.known) == mostKnown {
		f.known = slices.Delete(f.known, 0, 1)
	}
	f.known = append(f.known, value)
	return false
}

// see takes a sighting in. It returns the change that it is, if it is one, and whether
// that is to be told.
func (s *sightings) see(differs, value string, evidence dataplane.NeighState, at dataplane.Boottime) (c conflict, changed, news bool) {
	i := trait(differs)
	now := s.now[i]
	if now == "" {
		s.now[i] = value
	}
	if now == "" || now == value {
		return c, false, false
	}
	known := s.note(i, value)
	if evidence == dataplane.NeighStale || evidence == dataplane.NeighUpdated && known {
		return c, false, false
	}
	c = conflict{differs: differs, before: now, after: value, reason: sessions.ReasonMoved, at: at}
	f := &s.moves.former[i]
	if value == f.last && at.Sub(f.left) < sharedWithin {
		c.reason = sessions.ReasonShared
	}
	f.last, f.left = now, at
	s.set(i, value)
	return c, true, s.moves.tell(c)
}

// tell reports whether a conflict is new, and not one too many.
func (m *moves) tell(c conflict) bool {
	if slices.ContainsFunc(m.told, c.same) {
		return false
	}
	if len(m.told) == mostConflicts {
		if c.at.Sub(m.told[0].at) < conflictsPer {
			return false
		}
		m.told = slices.Delete(m.told, 0, 1)
	}
	m.told = append(m.told, c)
	return true
}

// Sight notes where the kernel saw a client: it publishes client.conflict, and enforces
// or learns what the configuration binds clients to. What is not connected any more is
// passed over.
func (m *Manager) Sight(ctx context.Context, seen dataplane.Neighbor) error {
	s, mac, running := m.live.session(sessions.SessionID(seen.Account))
	if !running || mac != seen.MAC {
		return nil
	}
	if seen.Addr.IsValid() {
		if err := m.learn(ctx, s, seen); err != nil {
			return err
		}
		return m.notice(ctx, s, sessions.DiffersAddress, seen.Addr.String(), seen.State)
	}
	return m.notice(ctx, s, sessions.DiffersPort, seen.Port, seen.State)
}

func (m *Manager) notice(ctx context.Context, s sessions.Session, differs, value string, evidence dataplane.NeighState) error {
	var d sessions.Device
	if evidence != dataplane.NeighStale && differs != sessions.DiffersPort && !m.live.begun(s.ID) {
		var err error
		if d, err = m.Device(ctx, s.Device); err != nil {
			return err
		}
	}
	k, changed, news := m.live.sight(s.ID, d, differs, value, evidence, m.now().Boot)
	if changed && differs == sessions.DiffersPort && m.cfg.Bind == sessions.BindPort {
		if _, err := m.pause(ctx, s.Device, sessions.ReasonPort, k.String()); err != nil {
			return err
		}
	}
	if !news {
		return nil
	}
	return m.commit(ctx, func(c *change) error {
		d, err := c.Device(s.Device)
		if err != nil {
			return err
		}
		return c.conflict(d, s, k)
	})
}

// notice is that for what somebody registers of a device; the running session knows
// the device as it was before.
func (c *change) notice(d sessions.Device, differs, value string) error {
	s, running, err := runningOf(c, d.ID)
	if err != nil || !running {
		return err // a device that is not connected may simply have a new lease
	}
	if k, _, news := c.m.live.sight(s.ID, d, differs, value, dataplane.NeighReachable, c.now.Boot); news {
		return c.conflict(d, s, k)
	}
	return nil
}

func (c *change) conflict(d sessions.Device, s sessions.Session, k conflict) error {
	e := c.of(sessions.ClientConflict, d, s)
	e.Reason, e.Differs, e.Before, e.After = k.reason, k.differs, k.before, k.after
	e.Message = d.MAC.String() + " is used with " + k.String()
	return c.event(e)
}

func (c conflict) String() string {
	return fmt.Sprintf("another %s: %s, before %s", c.differs, c.after, c.before)
}

// sight takes in where the MAC of a running session was seen; d is its device, unless
// nothing is news yet.
func (l *liveTable) sight(id sessions.SessionID, d sessions.Device, differs, value string, evidence dataplane.NeighState, at dataplane.Boottime) (c conflict, changed, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byID[id]
	if e == nil {
		return c, false, false
	}
	if e.seen == nil {
		e.seen = &sightings{}
	}
	if d.ID != 0 && !e.seen.begun {
		e.seen.begin(d)
	}
	return e.seen.see(differs, value, evidence, at)
}

// begun reports whether sight needs no device.
func (l *liveTable) begun(id sessions.SessionID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byID[id]
	return e != nil && e.seen != nil && e.seen.begun
}
