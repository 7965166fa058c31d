// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Portable is a purchase as it travels from one database to another. Ids stay behind.
// What names it everywhere is the moment when it was sold, to the nanosecond.
type Portable struct {
	Line     int // of the file, for messages; 0: none
	MAC      dataplane.MAC
	Hostname string
	Session  Session
}

// Imported is what an import did.
type Imported struct {
	Imported int // purchases that were new
	Known    int // that were here already, and stay as they are
}

// ReasonImported is the Reason of session.created for an imported purchase.
const ReasonImported = "imported"

// Export returns the purchases that this agent sold, as of now: those that have
// something left, or all. Sessions of registered providers are kept by these.
func (m *Manager) Export(ctx context.Context, all bool) ([]Portable, error) {
	devices, err := m.Devices(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[DeviceID]Device, len(devices))
	for _, d := range devices {
		byID[d.ID] = d
	}
	list, err := m.Sessions(ctx, SessionFilter{})
	if err != nil {
		return nil, err
	}
	var out []Portable
	for _, s := range list {
		if s.State == Running {
			s.State = restState(s, m.now())
		}
		over := s.State == Consumed || s.State == Expired
		d, ok := byID[s.Device] // not one that came meanwhile
		if ok && s.Provider == LocalProvider && (all || !over) {
			out = append(out, Portable{MAC: d.MAC, Hostname: d.Hostname, Session: s})
		}
	}
	return out, nil
}

// Import stores purchases of another database, in one transaction: all that are new,
// or none when one is refused. What ran there is paused here. A purchase that is here
// already is left alone, so that an import can be repeated. Codes: Invalid, naming
// line, field and value.
func (m *Manager) Import(ctx context.Context, list []Portable) (Imported, error) {
	var done Imported
	for _, p := range list {
		if err := m.checkPortable(p); err != nil {
			return done, inLine(p.Line, err)
		}
	}
	defer m.locks.lock(newDevices)()
	err := m.update(ctx, func(c *change) error {
		done = Imported{}
		here, err := c.soldAt()
		if err != nil {
			return err
		}
		for _, p := range list {
			at := p.Session.Created.UnixNano()
			if here[at] {
				done.Known++
				continue
			}
			here[at] = true
			done.Imported++
			if err := c.take(p); err != nil {
				return inLine(p.Line, err)
			}
		}
		return nil
	})
	return done, err
}

func (m *Manager) checkPortable(p Portable) error {
	if err := m.checkCustomer(p.MAC); err != nil {
		return err
	}
	if err := checkHostname(p.Hostname); err != nil {
		return err
	}
	s := p.Session
	switch {
	case s.Created.Before(earliestSale) || s.Created.After(latestSale):
		return Invalidf("created_at", "%s is no moment of a purchase", s.Created.Format(time.RFC3339))
	case !s.Started.IsZero() && (s.Started.Before(earliestSale) || s.Started.After(latestSale)):
		return Invalidf("started_at", "%s is no moment of a start", s.Started.Format(time.RFC3339))
	}
	return checkPurchase(s)
}

// soldAt are the moments of all purchases that are here.
func (c *change) soldAt() (map[int64]bool, error) {
	all, err := c.Sessions(SessionFilter{})
	here := make(map[int64]bool, len(all))
	for _, s := range all {
		if s.Provider == LocalProvider {
			here[s.Created.UnixNano()] = true
		}
	}
	return here, err
}

// take stores a purchase under a new id: its account is in no kernel.
func (c *change) take(p Portable) error {
	d, err := c.DeviceByMAC(p.MAC)
	if CodeOf(err) == NotFound {
		d = Device{MAC: p.MAC, Hostname: p.Hostname, Created: c.now.wall}
		err = c.addDevice(&d, netip.Addr{})
	}
	if err != nil {
		return err
	}
	s := p.Session
	s.ID, s.Device, s.Provider, s.Token, s.Unsaved = 0, d.ID, LocalProvider, "", false
	s.Meter = Baseline{}
	if s.State != Consumed && s.State != Expired {
		s.State = restState(s, c.now)
	}
	if err := c.put(&s); err != nil {
		return err
	}
	e := c.of(SessionCreated, d, s)
	e.Reason = ReasonImported
	return c.event(e)
}

// inLine puts the line of a file before the message of a refusal.
func inLine(line int, err error) error {
	var own *Error
	if line == 0 || !errors.As(err, &own) {
		return err
	}
	located := *own
	located.Message = fmt.Sprintf("line %d: %s", line, own.Message)
	return &located
}
