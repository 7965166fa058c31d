// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/devices"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/start"
)

// devicePatch is a DevicePatch that was checked.
type devicePatch struct {
	mac      *dataplane.MAC
	bound    netip.Addr // of another MAC; as of a request none: it is to be seen
	ip       *netip.Addr
	hostname *string
}

func (m *Manager) checkPatch(p sessions.DevicePatch) (devicePatch, error) {
	var out devicePatch
	if p.MAC != nil {
		mac, err := m.checkMAC(*p.MAC)
		if err != nil {
			return out, err
		}
		if rule, ok := m.enforce.Static[mac]; ok && rule.Verdict == dataplane.Block {
			return out, sessions.Errorf(sessions.Forbidden, "mac: %s is blocked by the configuration", mac)
		}
		out.mac = &mac
	}
	if p.IP != nil {
		ip, err := sessions.ParseIP(*p.IP)
		if err != nil {
			return out, err
		}
		out.ip = &ip
	}
	if p.Hostname != nil {
		if err := sessions.CheckHostname(*p.Hostname); err != nil {
			return out, err
		}
		out.hostname = p.Hostname
	}
	return out, nil
}

// UpdateDevice changes a device. A connected one that moves to another MAC stays
// connected: both MACs count to its session until the old one is let go. A device that
// has the new MAC and no sessions gives way: it is deleted, and its addresses are this
// device's. Codes: NotFound, Invalid, Conflict (the MAC is that of a device with
// sessions), Full, Forbidden.
func (m *Manager) UpdateDevice(ctx context.Context, id sessions.DeviceID, patch sessions.DevicePatch) (sessions.Device, error) {
	p, err := m.checkPatch(patch)
	if err != nil {
		return sessions.Device{}, err
	}
	if err := m.devices.Keep(ctx, id); err != nil {
		return sessions.Device{}, err
	}
	macs := m.enforce.Lock(enforce.UnknownMAC)
	defer macs.Unlock()
	held := m.enforce.Lock(holders(ctx, m.ledger, id, p.mac)...)
	defer held.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Device{}, err
	}
	ctx = context.WithoutCancel(ctx)
	old, s, err := m.ledger.Lookup(ctx, id)
	if err != nil {
		return sessions.Device{}, err
	}
	d, err := m.storePatch(ctx, id, p)
	if err != nil || s == nil || d.MAC == old.MAC {
		return d, err
	}
	if err := m.moveRule(ctx, old, d, *s); err != nil {
		return sessions.Device{}, err
	}
	return d, nil
}

// holders are a device and the one that has its new MAC, which must start nothing
// meanwhile. The caller holds enforce.UnknownMAC.
func holders(ctx context.Context, l *ledger.Ledger, id sessions.DeviceID, mac *dataplane.MAC) []sessions.DeviceID {
	if mac == nil {
		return []sessions.DeviceID{id}
	}
	other, err := l.DeviceByMAC(ctx, *mac)
	if err != nil {
		return []sessions.DeviceID{id} // without one; what else can fail fails again in the transaction
	}
	return []sessions.DeviceID{id, other.ID}
}

func (m *Manager) storePatch(ctx context.Context, id sessions.DeviceID, p devicePatch) (sessions.Device, error) {
	var d sessions.Device
	err := m.ledger.Update(ctx, func(c *ledger.Tx) error {
		var err error
		if d, err = c.Device(id); err != nil {
			return err
		}
		if p.mac != nil && *p.mac != d.MAC {
			if err := takeOver(c, m.devices, &d, *p.mac); err != nil {
				return err
			}
			d.MAC, d.Bound = *p.mac, p.bound
		}
		if p.hostname != nil {
			d.Hostname = *p.hostname
		}
		if p.ip != nil {
			d.MoveTo(*p.ip)
		}
		c.Known = append(c.Known, d)
		return m.devices.Put(c, d)
	})
	return d, err
}

// takeOver makes what is known of a MAC that of d. A device that bought nothing, which the
// portal has seen, is only another name of d's customer.
func takeOver(c *ledger.Tx, known *devices.Devices, d *sessions.Device, mac dataplane.MAC) error {
	other, err := c.DeviceByMAC(mac)
	if sessions.CodeOf(err) == sessions.NotFound {
		if visitor, ok := known.VisitorWith(mac); ok {
			become(d, visitor)
		}
		return nil
	}
	if err != nil {
		return err
	}
	const most = 5
	sold, err := c.Sessions(sessions.SessionFilter{Device: other.ID, Limit: most})
	if err != nil {
		return err
	}
	if len(sold) > 0 {
		return takenMAC(*d, other, sold, len(sold) == most)
	}
	if err := c.DeleteDevice(other.ID); err != nil {
		return err
	}
	become(d, other)
	e := c.NewEvent(sessions.DeviceDeleted, other, sessions.Session{})
	e.Reason, e.Message = sessions.ReasonMerged, fmt.Sprintf("%s is device %d", mac, d.ID)
	return c.Publish(e)
}

// become adds what is known of another device, which was the same one.
func become(d *sessions.Device, other sessions.Device) {
	for _, ip := range slices.Backward(other.IPs) {
		d.MoveTo(ip)
	}
	d.Hostname = cmp.Or(d.Hostname, other.Hostname)
}

// takenMAC names both devices, and what to move instead.
func takenMAC(d, other sessions.Device, sold []sessions.Session, more bool) error {
	ids := make([]string, 0, len(sold)+1)
	for _, s := range sold {
		ids = append(ids, fmt.Sprint(s.ID))
	}
	if more {
		ids = append(ids, "…")
	}
	return sessions.Errorf(sessions.Conflict,
		"mac: device %d (%s) cannot become %s, which is device %d and has sessions of its own (%s): move those of device %d to device %d instead, or first these to device %d",
		d.ID, d.MAC, other.MAC, other.ID, strings.Join(ids, ", "), d.ID, other.ID, d.ID)
}

// moveRule moves a running session's rule to the device's new MAC: granted there
// first, with the same account, then taken from the old one. When the kernel has
// no room for both, the device keeps its old MAC.
func (m *Manager) moveRule(ctx context.Context, old, d sessions.Device, s sessions.Session) error {
	if m.enforce.Trusted(d.MAC) {
		err := m.ledger.Update(ctx, start.Stopping(d, s.ID, m.enforce.LastReading(s.Account()), sessions.ReasonTrusted, ""))
		if err != nil {
			return err
		}
	} else if err := m.enforce.Grant(d.MAC, m.enforce.RuleOf(s, d.BoundIPv4(), m.clock.Read())); err != nil {
		if _, undo := m.storePatch(ctx, d.ID, devicePatch{mac: &old.MAC, bound: old.Bound}); undo != nil {
			m.enforce.RepairLater(d.ID, undo)
		}
		return err
	}
	if err := m.enforce.Revoke(old.MAC); err != nil {
		m.cfg.Log.Error("rule of the old MAC not removed before the next comparison", "mac", old.MAC, "error", err)
	}
	return nil
}

// MoveSession gives a session to another device. One that runs continues there, and the
// device it leaves is cut off, both before MoveSession returns; where something runs
// already it is paused. No byte is lost: its account goes along. Codes: NotFound,
// Invalid (the session is a provider's), Forbidden (the device is blocked), Full.
func (m *Manager) MoveSession(ctx context.Context, id sessions.SessionID, to sessions.DeviceID) (sessions.Session, error) {
	return m.moveSession(ctx, id, to, sessions.ReasonMoved)
}

func (m *Manager) moveSession(ctx context.Context, id sessions.SessionID, to sessions.DeviceID, reason string) (sessions.Session, error) {
	if err := m.devices.Keep(ctx, to); err != nil {
		return sessions.Session{}, err
	}
	for {
		s, err := m.ledger.Session(ctx, id)
		if err != nil || s.Device == to {
			return s, err
		}
		if s.Provider != sessions.LocalProvider {
			return sessions.Session{}, sessions.Invalidf("device", "session %d is of provider %q, which says whose it is", id, s.Provider)
		}
		moved, err := m.moveFrom(ctx, s.Device, id, to, reason)
		if err != nil {
			return sessions.Session{}, err
		}
		if moved {
			return m.Session(context.WithoutCancel(ctx), id)
		}
	}
}

// move is the move of one session.
type move struct {
	m         *Manager
	id        sessions.SessionID
	from, to  sessions.Device
	running   bool // at from
	continues bool // at to
	reason    string
}

// moveFrom moves a session, unless it is another device's meanwhile.
func (m *Manager) moveFrom(ctx context.Context, from sessions.DeviceID, id sessions.SessionID, to sessions.DeviceID, reason string) (moved bool, err error) {
	held := m.enforce.Lock(from, to)
	defer held.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ctx = context.WithoutCancel(ctx)
	r := move{m: m, id: id, reason: reason}
	var here, there *sessions.Session
	if r.from, here, err = m.ledger.Lookup(ctx, from); err != nil {
		return false, err
	}
	if r.to, there, err = m.ledger.Lookup(ctx, to); err != nil {
		return false, err
	}
	rule, static := m.enforce.Static[r.to.MAC]
	if static && rule.Verdict == dataplane.Block {
		return false, start.Blocked(r.to)
	}
	r.running = here != nil && here.ID == id
	r.continues = r.running && there == nil && !static
	if m.cfg.Bind == sessions.BindIP && r.continues {
		r.to.Bound = sessions.AddressOf(r.to, m.enforce.Locate(r.to.MAC))
	}
	if err := r.swapRules(here); err != nil {
		return false, err
	}
	var reading *dataplane.Reading
	if r.running && !r.continues {
		reading = m.enforce.LastReading(here.Account())
	}
	err = m.ledger.Update(ctx, func(c *ledger.Tx) error {
		if moved, err = r.store(c, reading); err != nil || !moved {
			return err
		}
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		return c.KeepAnswer(ctx, sessions.Purchase{Session: s})
	})
	if err != nil && r.running {
		m.enforce.Restore(ctx, held, to) // committed it may be, and not on the disk
		m.enforce.Restore(ctx, held, from)
	}
	return moved, err
}

// swapRules lets the new device in, with the same account, and the old one no more.
func (r move) swapRules(s *sessions.Session) error {
	if !r.running {
		return nil
	}
	if r.continues {
		if err := r.m.enforce.Grant(r.to.MAC, r.m.enforce.RuleOf(*s, r.to.BoundIPv4(), r.m.clock.Read())); err != nil {
			return err
		}
	}
	err := r.m.enforce.Revoke(r.from.MAC)
	if err != nil && r.continues {
		_ = r.m.enforce.Revoke(r.to.MAC) // as it was; else reconciling takes it back
	}
	return err
}

// store stores it. A session that is not from's any more stays as it is.
func (r move) store(c *ledger.Tx, reading *dataplane.Reading) (moved bool, err error) {
	s, err := c.Session(r.id)
	if err != nil || s.Device != r.from.ID {
		return false, err
	}
	if r.running && !r.continues {
		if err := start.Stopping(r.from, r.id, reading, r.reason, "")(c); err != nil {
			return false, err
		}
		if s, err = c.Session(r.id); err != nil {
			return false, err
		}
	}
	s.Device = r.to.ID
	if err := c.Save(&s); err != nil {
		return false, err
	}
	e := c.NewEvent(sessions.SessionUpdated, r.to, s)
	e.Reason = r.reason
	if err := c.Publish(e); err != nil {
		return false, err
	}
	if !r.continues {
		return true, nil
	}
	return true, r.continueOn(c, s)
}

// continueOn publishes that a running session changed devices.
func (r move) continueOn(c *ledger.Tx, s sessions.Session) error {
	to, err := c.Device(r.to.ID) // its name and addresses may be newer
	if err != nil {
		return err
	}
	if r.m.cfg.Bind == sessions.BindIP {
		to.Bound = r.to.Bound
		if err := c.PutDevice(&to); err != nil {
			return err
		}
	}
	c.Known = append(c.Known, to)
	if err := c.Disconnected(r.from, s, r.reason, ""); err != nil {
		return err
	}
	return c.Connected(to, s, "")
}
