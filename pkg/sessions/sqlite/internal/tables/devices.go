// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"math"
	"net/netip"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

type deviceTable struct{ *statements }

// DeviceColumns are the columns behind the id, in the order of [ScanDevice], which reads
// a list of addresses behind them.
const DeviceColumns = "mac, hostname, created_at, bound"

// selectDevices reads the addresses, latest first, behind the columns.
const selectDevices = "SELECT id, " + DeviceColumns + `, coalesce((SELECT group_concat(ip, ' ') FROM
	(SELECT ip FROM addresses WHERE device_id = devices.id ORDER BY recency DESC)), '') FROM devices`

const selectDeviceByIP = selectDevices + " WHERE id = (SELECT device_id FROM addresses WHERE ip = ?)"

func (t deviceTable) Device(id sessions.DeviceID) (sessions.Device, error) {
	missing := func() error { return noDevice(id) }
	return one(t.statements, missing, ScanDevice, selectDevices+" WHERE id = ?", int64(id))
}

func (t deviceTable) DeviceByMAC(mac dataplane.MAC) (sessions.Device, error) {
	missing := func() error { return sessions.Errorf(sessions.NotFound, "no device has the MAC %s", mac) }
	return one(t.statements, missing, ScanDevice, selectDevices+" WHERE mac = ?", mac.String())
}

func (t deviceTable) DeviceByIP(ip netip.Addr) (sessions.Device, error) {
	missing := func() error { return sessions.Errorf(sessions.NotFound, "no device has the address %s", ip) }
	return one(t.statements, missing, ScanDevice, selectDeviceByIP, ip.String())
}

func (t deviceTable) Devices() ([]sessions.Device, error) {
	return many(t.statements, ScanDevice, selectDevices+" ORDER BY id")
}

func (t deviceTable) CountDevices() (int, error) {
	n, err := one(t.statements, nil, scanInt, "SELECT count(*) FROM devices")
	return int(n), err
}

func (t deviceTable) PutDevice(d *sessions.Device) error {
	row, err := deviceRow(d)
	if err != nil {
		return err
	}
	if d.ID != 0 {
		missing := func() error { return noDevice(d.ID) }
		err := t.change(missing, "UPDATE devices SET ("+DeviceColumns+") = (?, ?, ?, ?) WHERE id = ?", append(row, int64(d.ID))...)
		if err != nil {
			return takenMAC(d, err)
		}
		return t.putAddresses(d)
	}
	id, err := t.insert("INSERT INTO devices ("+DeviceColumns+") VALUES (?, ?, ?, ?)", row...)
	if err != nil {
		return takenMAC(d, err)
	}
	d.ID = sessions.DeviceID(id)
	return t.putAddresses(d)
}

func (t deviceTable) DeleteDevice(id sessions.DeviceID) error {
	err := t.change(func() error { return noDevice(id) }, "DELETE FROM devices WHERE id = ?", int64(id))
	if violates(err, sqlite3.ErrConstraintForeignKey) {
		return sessions.Errorf(sessions.Conflict, "device %d has sessions", id)
	}
	return err
}

// putAddresses makes a device's addresses those of d, and takes them from others. A row
// that can stay is not written: of a known device with a new address it is one.
func (t deviceTable) putAddresses(d *sessions.Device) error {
	stored, err := many(t.statements, scanAddress, "SELECT ip, recency FROM addresses WHERE device_id = ? ORDER BY recency", int64(d.ID))
	if err != nil {
		return err
	}
	recency := make(map[string]int64, len(stored))
	next := int64(1)
	for _, a := range stored {
		recency[a.ip], next = a.recency, a.recency+1
	}
	least := int64(math.MinInt64)
	for _, ip := range slices.Backward(d.IPs) {
		text := ip.String()
		at, known := recency[text]
		delete(recency, text)
		if known && at > least {
			least = at
			continue
		}
		if err := t.putAddress(text, d.ID, next); err != nil {
			return err
		}
		least, next = next, next+1
	}
	for gone := range recency {
		if _, err := t.exec("DELETE FROM addresses WHERE ip = ?", gone); err != nil {
			return err
		}
	}
	return nil
}

func (t deviceTable) putAddress(ip string, device sessions.DeviceID, recency int64) error {
	_, err := t.exec(`INSERT INTO addresses (ip, device_id, recency) VALUES (?, ?, ?)
		ON CONFLICT (ip) DO UPDATE SET device_id = excluded.device_id, recency = excluded.recency`, ip, int64(device), recency)
	return err
}

type address struct {
	ip      string
	recency int64
}

func scanAddress(row *conn.Row) (a address, err error) {
	err = row.Scan(&a.ip, &a.recency)
	return a, err
}

func deviceRow(d *sessions.Device) ([]any, error) {
	var c checker
	row := []any{d.MAC.String(), d.Hostname, c.wall("created_at", d.Created), encodeIP(d.Bound)}
	return row, c.err
}

// ScanDevice reads the id, the columns, and the addresses with spaces between.
func ScanDevice(row *conn.Row) (d sessions.Device, err error) {
	var mac, bound, ips string
	if err := row.Scan((*int64)(&d.ID), &mac, &d.Hostname, &d.Created, &bound, &ips); err != nil {
		return d, err
	}
	if d.MAC, err = DecodeMAC(mac); err != nil {
		return d, err
	}
	if d.IPs, err = decodeIPs(ips); err != nil {
		return d, err
	}
	d.Bound, err = decodeIP(bound)
	return d, err
}

func noDevice(id sessions.DeviceID) error {
	return sessions.Errorf(sessions.NotFound, "device %d does not exist", id)
}

// takenMAC names the MAC when another device has it.
func takenMAC(d *sessions.Device, err error) error {
	if violates(err, sqlite3.ErrConstraintUnique) {
		return sessions.Errorf(sessions.Conflict, "mac: %s belongs to another device", d.MAC)
	}
	return err
}
