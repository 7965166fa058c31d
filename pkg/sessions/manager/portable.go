// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/devices"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Export calls each for the purchases that this agent sold, in order of their ids, until it
// fails: for those that have something left, or for all. It holds a page of them, and no
// transaction while each runs. Sessions of registered providers are kept by these.
func (m *Manager) Export(ctx context.Context, all bool, each func(sessions.Portable) error) error {
	page := sessions.SessionFilter{Limit: ledger.BatchSize}
	if !all {
		page.States = []sessions.State{sessions.Available, sessions.Running, sessions.Paused}
	}
	for {
		list, err := exportPage(ctx, m.ledger.Store, page)
		if err != nil || len(list) == 0 {
			return err
		}
		now := m.clock.Read()
		for _, p := range list {
			p.Session = m.withLiveUsage(p.Session, now)
			if p.Session.State == sessions.Running {
				p.Session.State = sessions.RestState(p.Session, now)
			}
			if p.Session.Provider != sessions.LocalProvider || !all && p.Session.State.Final() { // by now
				continue
			}
			if err := each(p); err != nil {
				return err
			}
		}
		page.After = list[len(list)-1].Session.ID
	}
}

// exportPage reads sessions with their devices and codes.
func exportPage(ctx context.Context, store sessions.Store, page sessions.SessionFilter) (list []sessions.Portable, err error) {
	err = store.Snapshot(ctx, func(tx sessions.Tx) error {
		found, err := tx.Sessions(page)
		if err != nil {
			return err
		}
		owners := make(map[sessions.DeviceID]sessions.Device)
		for _, s := range found {
			d, known := owners[s.Device]
			if !known {
				if d, err = tx.Device(s.Device); err != nil {
					return err
				}
				owners[s.Device] = d
			}
			list = append(list, sessions.Portable{MAC: d.MAC, Hostname: d.Hostname, Session: s})
		}
		return addClaims(tx, list)
	})
	return list, err
}

// addClaims adds the codes that customers hold: a purchase is worth what its receipt says,
// also in another database.
func addClaims(tx sessions.Tx, list []sessions.Portable) error {
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
		for _, p := range list {
			known, err := c.Sold(p.Session.Created)
			if err != nil {
				return err
			}
			if known {
				done.Known++
				continue
			}
			done.Imported++
			if err := importPurchase(c, m.devices, p); err != nil {
				return inLine(p.Line, err)
			}
		}
		return nil
	})
	return done, err
}

// importPurchase stores a purchase under a new id: its account is in no kernel.
func importPurchase(c *ledger.Tx, known *devices.Devices, p sessions.Portable) error {
	d, err := c.DeviceByMAC(p.MAC)
	if sessions.CodeOf(err) == sessions.NotFound {
		d = sessions.Device{MAC: p.MAC, Hostname: p.Hostname}
		err = known.Add(c, &d, netip.Addr{})
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
