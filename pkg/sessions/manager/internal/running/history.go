// SPDX-License-Identifier: Apache-2.0

package running

import (
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

// AddressChange is one change of where a MAC is seen.
type AddressChange struct {
	Differs, Before, After, Reason string
	at                             dataplane.Boottime
}

// same reports a conflict about the same two values.
func (c AddressChange) same(d AddressChange) bool {
	return c.Differs == d.Differs && c.Reason == d.Reason &&
		(c.Before == d.Before && c.After == d.After || c.Before == d.After && c.After == d.Before)
}

// history are where the MAC of a running session was seen. Nearly all are seen at one
// place, and then that is all that is kept: there may be 100,000.
type history struct {
	initialised bool           // with what was known of the device before
	now         [traits]string // "": not seen yet
	changes     *changes       // nil: none
}

// traitNames are in the order of sightings.now.
var traitNames = [traits]string{sessions.DiffersAddress, sessions.DiffersHostname, sessions.DiffersPort}

const traits = 3

// changes are what a MAC had, and has no more.
type changes struct {
	former   [traits]former
	reported []AddressChange // oldest first
}

type former struct {
	last  string
	left  dataplane.Boottime // when last was given up for now
	known []string           // all that were seen, latest last
}

// init takes in what was known of a device before.
func (s *history) init(d sessions.Device) {
	s.initialised = true
	if ip := d.IPv4(); ip.IsValid() {
		s.set(trait(sessions.DiffersAddress), ip.String())
	}
	if d.Hostname != "" {
		s.set(trait(sessions.DiffersHostname), d.Hostname)
	}
}

// trait is the index of one of the things that a MAC has one of.
func trait(differs string) int { return slices.Index(traitNames[:], differs) }

func (s *history) set(i int, value string) {
	if before := s.now[i]; before != "" && before != value {
		s.note(i, before)
	}
	s.now[i] = value
}

// note remembers a value, and reports whether it was known.
func (s *history) note(i int, value string) (known bool) {
	if s.changes == nil {
		s.changes = &changes{}
	}
	f := &s.changes.former[i]
	if slices.Contains(f.known, value) {
		return true
	}
	if len(f.known) == mostKnown {
		f.known = slices.Delete(f.known, 0, 1)
	}
	f.known = append(f.known, value)
	return false
}

// observe takes a sighting in. It returns the change that it is, if it is one, and whether
// that is to be told.
func (s *history) observe(differs, value string, evidence dataplane.NeighState, at dataplane.Boottime) (c AddressChange, changed, news bool) {
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
	c = AddressChange{Differs: differs, Before: now, After: value, Reason: sessions.ReasonMoved, at: at}
	f := &s.changes.former[i]
	if value == f.last && at.Sub(f.left) < sharedWithin {
		c.Reason = sessions.ReasonShared
	}
	f.last, f.left = now, at
	s.set(i, value)
	return c, true, s.changes.isNew(c)
}

// isNew reports whether a conflict is new, and not one too many.
func (m *changes) isNew(c AddressChange) bool {
	if slices.ContainsFunc(m.reported, c.same) {
		return false
	}
	if len(m.reported) == mostConflicts {
		if c.at.Sub(m.reported[0].at) < conflictsPer {
			return false
		}
		m.reported = slices.Delete(m.reported, 0, 1)
	}
	m.reported = append(m.reported, c)
	return true
}

func (c AddressChange) String() string {
	return fmt.Sprintf("another %s: %s, before %s", c.Differs, c.After, c.Before)
}

// Observe takes in where the MAC of a running session was seen; d is its device, unless
// nothing is news yet.
func (t *Table) Observe(id sessions.SessionID, d sessions.Device, differs, value string, evidence dataplane.NeighState, at dataplane.Boottime) (c AddressChange, changed, news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	if e == nil {
		return c, false, false
	}
	if e.seen == nil {
		e.seen = &history{}
	}
	if d.ID != 0 && !e.seen.initialised {
		e.seen.init(d)
	}
	return e.seen.observe(differs, value, evidence, at)
}

// HasHistory reports whether sight needs no device.
func (t *Table) HasHistory(id sessions.SessionID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	return e != nil && e.seen != nil && e.seen.initialised
}
