// SPDX-License-Identifier: Apache-2.0

// Package devices is which devices there are: those with a row in the store, and visitors,
// which bought nothing and are in memory only. Visitors come by the hundred thousand where
// MACs are made up, and cost the database nothing.
package devices

import (
	"context"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/identity"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Devices finds, registers and forgets devices. Safe for concurrent use.
type Devices struct {
	clock    *wallclock.Clock
	ledger   *ledger.Ledger
	enforce  *enforce.Enforcer
	identity *identity.Observer
	visitors *visitors
}

// New returns a Devices that remembers at most so many visitors.
func New(clock *wallclock.Clock, ledger *ledger.Ledger, enforce *enforce.Enforcer, identity *identity.Observer, maxVisitors int) *Devices {
	return &Devices{clock: clock, ledger: ledger, enforce: enforce, identity: identity, visitors: newVisitors(maxVisitors)}
}

// Register creates or updates the row of a MAC. A visitor keeps its id.
func (ds *Devices) Register(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	if d, err := ds.ledger.DeviceByMAC(ctx, mac); err == nil && !ds.differs(d, ip, hostname) {
		return d, nil
	}
	held := ds.enforce.Lock(enforce.UnknownMAC)
	defer held.Unlock()
	return ds.register(ctx, held, mac, ip, hostname)
}

// differs reports whether a registration has to be written.
func (ds *Devices) differs(d sessions.Device, ip netip.Addr, hostname string) bool {
	return d.WouldChange(ip, hostname) || ds.unseen(d)
}

// unseen reports whether it is to be stored that a device was seen now.
func (ds *Devices) unseen(d sessions.Device) bool {
	now := ds.clock.Read()
	return now.WallTrusted && now.Wall.Sub(d.LastSeen()) >= sessions.SeenEvery
}

func (ds *Devices) register(ctx context.Context, _ enforce.Locked, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	var d sessions.Device
	err := ds.ledger.Update(ctx, func(c *ledger.Tx) error {
		var err error
		d, err = c.DeviceByMAC(mac)
		if sessions.CodeOf(err) == sessions.NotFound {
			d = sessions.Device{MAC: mac, Hostname: hostname}
			return ds.Add(c, &d, ip)
		}
		if err != nil || !ds.differs(d, ip, hostname) {
			return err
		}
		return ds.refresh(c, &d, ip, hostname)
	})
	return d, err
}

// Add gives a device its first row: with the id, and what else is known of it, if it is
// a visitor. The caller holds the lock of enforce.UnknownMAC.
func (ds *Devices) Add(c *ledger.Tx, d *sessions.Device, ip netip.Addr) error {
	if v, known := ds.visitors.findMAC(d.MAC); known {
		if d.Hostname == "" {
			d.Hostname = v.Hostname
		}
		d.ID, d.IPs = v.ID, v.IPs
	} else {
		d.ID = ds.visitors.takeID() // of a block that is open: ids stay small
	}
	d.Created, d.Seen = c.Now.Wall, c.Now.Wall
	d.MoveTo(ip)
	if err := insert(c, d); err != nil {
		return err
	}
	ds.hasRow(c, *d)
	return c.Publish(c.NewEvent(sessions.DeviceCreated, *d, sessions.Session{}))
}

func insert(c *ledger.Tx, d *sessions.Device) error {
	if d.ID == 0 {
		return c.PutDevice(d)
	}
	return c.InsertDevice(*d)
}

// hasRow forgets, once the transaction committed, what visitors have of a device.
func (ds *Devices) hasRow(c *ledger.Tx, d sessions.Device) {
	c.AfterCommit(func() {
		ds.visitors.forget(d.MAC)
		for _, ip := range d.IPs {
			ds.visitors.releaseIP(ip)
		}
	})
}

func (ds *Devices) refresh(c *ledger.Tx, d *sessions.Device, ip netip.Addr, hostname string) error {
	if c.Now.WallTrusted {
		d.Seen = c.Now.Wall
	}
	if !d.WouldChange(ip, hostname) {
		return c.PutDevice(d)
	}
	if ip.Is4() {
		if err := ds.identity.Register(c, *d, sessions.DiffersAddress, ip.String()); err != nil {
			return err
		}
	}
	if hostname != "" {
		if err := ds.identity.Register(c, *d, sessions.DiffersHostname, hostname); err != nil {
			return err
		}
		d.Hostname = hostname
	}
	d.MoveTo(ip)
	return ds.Put(c, *d)
}

// Put stores what changed of a device, and publishes it. A visitor with its MAC gives way.
func (ds *Devices) Put(c *ledger.Tx, d sessions.Device) error {
	if err := c.PutDevice(&d); err != nil {
		return err
	}
	ds.hasRow(c, d)
	return c.Publish(c.NewEvent(sessions.DeviceUpdated, d, sessions.Session{}))
}

// See takes in what a device says of itself: it updates the row, if there is one, else the
// device is a visitor.
func (ds *Devices) See(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	d, err := ds.ledger.DeviceByMAC(ctx, mac)
	switch {
	case err == nil && !ds.differs(d, ip, hostname):
		return d, nil
	case err != nil && sessions.CodeOf(err) != sessions.NotFound:
		return d, err
	}
	held := ds.enforce.Lock(enforce.UnknownMAC)
	defer held.Unlock()
	_, err = ds.ledger.DeviceByMAC(ctx, mac)
	switch {
	case err == nil:
		return ds.register(ctx, held, mac, ip, hostname)
	case sessions.CodeOf(err) != sessions.NotFound:
		return sessions.Device{}, err
	}
	return ds.seeVisitor(ctx, held, mac, ip, hostname)
}

func (ds *Devices) seeVisitor(ctx context.Context, held enforce.Locked, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	now := ds.clock.Read().Wall
	if d, ok := ds.visitors.see(mac, ip, hostname, now); ok {
		return d, nil
	}
	if err := ds.reserve(ctx, held); err != nil {
		return sessions.Device{}, err
	}
	d, _ := ds.visitors.see(mac, ip, hostname, now) // only the holder of the lock takes ids
	return d, nil
}

// reserve is on the disk when it returns: an id must not be given to another device after
// a power cut.
func (ds *Devices) reserve(ctx context.Context, _ enforce.Locked) error {
	var first sessions.DeviceID
	n := ds.visitors.blockSize()
	err := ds.ledger.Update(ctx, func(c *ledger.Tx) (err error) {
		first, err = c.ReserveDevices(n)
		return err
	})
	if err == nil {
		ds.visitors.reserved(first, n)
	}
	return err
}

// Keep gives a visitor its row, for what is to be stored of it. Any other id is left alone.
func (ds *Devices) Keep(ctx context.Context, id sessions.DeviceID) error {
	if _, ok := ds.visitors.findID(id); !ok {
		return nil
	}
	held := ds.enforce.Lock(enforce.UnknownMAC)
	defer held.Unlock()
	return ds.ledger.Commit(ctx, func(c *ledger.Tx) error {
		d, ok := ds.visitors.findID(id)
		if !ok {
			return nil // it has one by now
		}
		return ds.Add(c, &sessions.Device{MAC: d.MAC}, netip.Addr{})
	})
}

// Visitor returns the visitor of an id.
func (ds *Devices) Visitor(id sessions.DeviceID) (sessions.Device, bool) {
	return ds.visitors.findID(id)
}

// VisitorWith returns the visitor of a MAC.
func (ds *Devices) VisitorWith(mac dataplane.MAC) (sessions.Device, bool) {
	return ds.visitors.findMAC(mac)
}

// CountVisitors is how many are remembered.
func (ds *Devices) CountVisitors() int { return ds.visitors.count() }

// Device returns the device of an id. Codes: NotFound.
func (ds *Devices) Device(ctx context.Context, id sessions.DeviceID) (sessions.Device, error) {
	return either(
		func() (sessions.Device, error) { return ds.ledger.Device(ctx, id) },
		func() (sessions.Device, bool) { return ds.visitors.findID(id) },
	)
}

// ByMAC returns the device of a MAC. Codes: NotFound.
func (ds *Devices) ByMAC(ctx context.Context, mac dataplane.MAC) (sessions.Device, error) {
	return either(
		func() (sessions.Device, error) { return ds.ledger.DeviceByMAC(ctx, mac) },
		func() (sessions.Device, bool) { return ds.visitors.findMAC(mac) },
	)
}

// ByIP returns the device that had an address last. A visitor that has it was seen with it
// later than any other. Codes: NotFound.
func (ds *Devices) ByIP(ctx context.Context, ip netip.Addr) (sessions.Device, error) {
	if d, ok := ds.visitors.findIP(ip); ok {
		return d, nil
	}
	return sessions.View(ctx, ds.ledger.Store, func(tx sessions.Tx) (sessions.Device, error) { return tx.DeviceByIP(ip) })
}

// either finds a device in the store, or in memory, or in the store after all: a visitor
// may get its row between the first look and the second.
func either(stored func() (sessions.Device, error), visitor func() (sessions.Device, bool)) (sessions.Device, error) {
	d, err := stored()
	if sessions.CodeOf(err) != sessions.NotFound {
		return d, err
	}
	if d, ok := visitor(); ok {
		return d, nil
	}
	return stored()
}

// Lookup returns a device and its running session, nil for none. Codes: NotFound.
func (ds *Devices) Lookup(ctx context.Context, id sessions.DeviceID) (sessions.Device, *sessions.Session, error) {
	d, s, err := ds.ledger.Lookup(ctx, id)
	if sessions.CodeOf(err) != sessions.NotFound {
		return d, s, err
	}
	if d, ok := ds.visitors.findID(id); ok {
		return d, nil, nil
	}
	return ds.ledger.Lookup(ctx, id)
}
