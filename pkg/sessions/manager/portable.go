// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Export returns the purchases that this agent sold, as of now: those that have
// something left, or all. Sessions of registered providers are kept by these.
func (m *Manager) Export(ctx context.Context, all bool) ([]sessions.Portable, error) {
	devices, err := m.Devices(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[sessions.DeviceID]sessions.Device, len(devices))
	for _, d := range devices {
		byID[d.ID] = d
	}
	var out []sessions.Portable
	for page := (sessions.SessionFilter{Limit: ledger.BatchSize}); ; {
		list, err := m.Sessions(ctx, page)
		if err != nil || len(list) == 0 {
			return out, err
		}
		now, first := m.clock.Read(), len(out)
		for _, s := range list {
			if s.State == sessions.Running {
				s.State = sessions.RestState(s, now)
			}
			d, ok := byID[s.Device] // not one that came meanwhile
			if ok && s.Provider == sessions.LocalProvider && (all || !s.State.Final()) {
				out = append(out, sessions.Portable{MAC: d.MAC, Hostname: d.Hostname, Session: s})
			}
		}
		if err := addClaims(ctx, m.ledger.Store, out[first:]); err != nil {
			return nil, err
		}
		page.After = list[len(list)-1].ID
	}
}

// addClaims adds the codes that customers hold: a purchase is worth what its receipt says,
// also in another database.
func addClaims(ctx context.Context, store sessions.Store, list []sessions.Portable) error {
	return store.Snapshot(ctx, func(tx sessions.Tx) error {
		for i := range list {
			hash, err := tx.ClaimOf(list[i].Session.ID)
			switch {
			case err == nil:
				list[i].Claim = &hash
			case sessions.CodeOf(err) != sessions.NotFound:
				return err
			}
		}
		return nil
	})
}

// Import stores purchases of another database, in one transaction: all that are new,
// or none when one is refused. What ran there is paused here. A purchase that is here
// already is left alone, so that an import can be repeated. Codes: Invalid, and Conflict
// when its claim code is another purchase's; both name line, field and value.
func (m *Manager) Import(ctx context.Context, list []sessions.Portable) (sessions.Imported, error) {
	var done sessions.Imported
	for _, p := range list {
		if err := errors.Join(m.checkCustomer(p.MAC), p.Check()); err != nil {
			return done, inLine(p.Line, err)
		}
	}
	held := m.enforce.Lock(enforce.UnknownMAC)
	defer held.Unlock()
	err := m.ledger.Update(ctx, func(c *ledger.Tx) error {
		done = sessions.Imported{}
		here, err := soldAt(c)
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
			if err := importPurchase(c, p); err != nil {
				return inLine(p.Line, err)
			}
		}
		return nil
	})
	return done, err
}

// soldAt are the times of sale of all purchases that are here.
func soldAt(c *ledger.Tx) (map[int64]bool, error) {
	here := make(map[int64]bool)
	for page := (sessions.SessionFilter{Limit: ledger.BatchSize}); ; {
		list, err := c.Sessions(page)
		if err != nil || len(list) == 0 {
			return here, err
		}
		for _, s := range list {
			if s.Provider == sessions.LocalProvider {
				here[s.Created.UnixNano()] = true
			}
		}
		page.After = list[len(list)-1].ID
	}
}

// importPurchase stores a purchase under a new id: its account is in no kernel.
func importPurchase(c *ledger.Tx, p sessions.Portable) error {
	d, err := c.DeviceByMAC(p.MAC)
	if sessions.CodeOf(err) == sessions.NotFound {
		d = sessions.Device{MAC: p.MAC, Hostname: p.Hostname, Created: c.Now.Wall}
		err = addDevice(c, &d, netip.Addr{})
	}
	if err != nil {
		return err
	}
	s := p.Session
	s.ID, s.Device, s.Provider, s.Token, s.Unsaved = 0, d.ID, sessions.LocalProvider, "", false
	s.Meter = sessions.Baseline{}
	if !s.State.Final() {
		s.State = sessions.RestState(s, c.Now)
	}
	if err := c.Put(&s); err != nil {
		return err
	}
	if p.Claim != nil {
		if err := c.PutClaim(*p.Claim, s.ID); err != nil {
			return err
		}
	}
	e := c.NewEvent(sessions.SessionCreated, d, s)
	e.Reason = sessions.ReasonImported
	return c.Publish(e)
}

// inLine puts the line of a file before the message of a refusal.
func inLine(line int, err error) error {
	var own *sessions.Error
	if line == 0 || !errors.As(err, &own) {
		return err
	}
	located := *own
	located.Message = fmt.Sprintf("line %d: %s", line, own.Message)
	return &located
}
