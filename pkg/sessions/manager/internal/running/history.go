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
	mostConflicts = 8 // reported of a session in conflictsPer, and remembered
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

// traitNames are in the order of history.now.
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
		s.remember(i, before)
	}
	s.now[i] = value
}

// remember keeps a value, and reports whether it was known.
func (s *history) remember(i int, value string) (known bool) {
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

// observe takes an observation in. It returns the change that it is, if it is one, and
// whether that is to be reported.
func (s *history) observe(o Observation) (c AddressChange, changed, report bool) {
	i := trait(o.Differs)
	now := s.now[i]
	if now == "" {
		s.now[i] = o.Value
	}
	if now == "" || now == o.Value {
		return c, false, false
	}
	known := s.remember(i, o.Value)
	if o.Evidence == dataplane.NeighStale || o.Evidence == dataplane.NeighUpdated && known {
		return c, false, false
	}
	c = AddressChange{Differs: o.Differs, Before: now, After: o.Value, Reason: sessions.ReasonMoved, at: o.At}
	f := &s.changes.former[i]
	if o.Value == f.last && o.At.Sub(f.left) < sharedWithin {
		c.Reason = sessions.ReasonShared
	}
	f.last, f.left = now, o.At
	s.set(i, o.Value)
	return c, true, s.changes.isNew(c)
}

// clone copies all that observe changes.
func (s *history) clone() *history {
	c := *s
	if s.changes != nil {
		m := *s.changes
		for i := range m.former {
			m.former[i].known = slices.Clone(m.former[i].known)
		}
		m.reported = slices.Clone(m.reported)
		c.changes = &m
	}
	return &c
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

// Observation is that the MAC of a running session was seen with a value.
type Observation struct {
	Session  sessions.SessionID
	Device   sessions.Device // as it was before; needed once, see HasHistory
	Differs  string          // which value: DiffersAddress, DiffersHostname or DiffersPort
	Value    string
	Evidence dataplane.NeighState
	At       dataplane.Boottime
}

// Observe judges an observation: whether it is a change, and one to report. One to report
// is not taken in: that is Record's, once the report is committed.
func (t *Table) Observe(o Observation) (c AddressChange, changed, report bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[o.Session]
	if e == nil {
		return c, false, false
	}
	h := e.historySince(o.Device)
	if now := h.now[trait(o.Differs)]; now == "" || now == o.Value {
		return h.observe(o)
	}
	after := h.clone()
	if c, changed, report = after.observe(o); !report {
		e.seen = after
	}
	return c, changed, report
}

// Record takes in an observation that was reported.
func (t *Table) Record(o Observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byID[o.Session]; e != nil {
		e.historySince(o.Device).observe(o)
	}
}

// historySince returns what was seen of a session's MAC since it runs, and of its device
// before.
func (e *Entry) historySince(d sessions.Device) *history {
	if e.seen == nil {
		e.seen = &history{}
	}
	if d.ID != 0 && !e.seen.initialised {
		e.seen.init(d)
	}
	return e.seen
}

// HasHistory reports whether Observe needs no device.
func (t *Table) HasHistory(id sessions.SessionID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	return e != nil && e.seen != nil && e.seen.initialised
}
