// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"math"
	"net/netip"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// deviceColumns are the columns behind the id, in the order of [deviceRow] and
// [scanDevice].
const deviceColumns = "mac, hostname, created_at, bound"

// selectDevices reads the addresses, latest first, behind the columns.
const selectDevices = "SELECT id, " + deviceColumns + `, coalesce((SELECT group_concat(ip, ' ') FROM
	(SELECT ip FROM addresses WHERE device_id = devices.id ORDER BY recency DESC)), '') FROM devices`

func (t *tx) Device(id sessions.DeviceID) (sessions.Device, error) {
	missing := func() error { return noDevice(id) }
	return one(t, missing, scanDevice, selectDevices+" WHERE id = ?", id)
}

func (t *tx) DeviceByMAC(mac dataplane.MAC) (sessions.Device, error) {
	missing := func() error { return sessions.Errorf(sessions.NotFound, "no device has the MAC %s", mac) }
	return one(t, missing, scanDevice, selectDevices+" WHERE mac = ?", mac.String())
}

func (t *tx) DeviceByIP(ip netip.Addr) (sessions.Device, error) {
	missing := func() error { return sessions.Errorf(sessions.NotFound, "no device has the address %s", ip) }
	return one(t, missing, scanDevice, selectDevices+" WHERE id = (SELECT device_id FROM addresses WHERE ip = ?)", ip.String())
}

func (t *tx) Devices() ([]sessions.Device, error) {
	return many(t, scanDevice, selectDevices+" ORDER BY id")
}

func (t *tx) CountDevices() (int, error) {
	scan := func(row scanner) (n int, err error) {
		err = row.Scan(&n)
		return n, err
	}
	return one(t, nil, scan, "SELECT count(*) FROM devices")
}

func (t *tx) PutDevice(d *sessions.Device) error {
	row, err := deviceRow(d)
	if err != nil {
		return err
	}
	if d.ID != 0 {
		missing := func() error { return noDevice(d.ID) }
		err := t.change(missing, "UPDATE devices SET ("+deviceColumns+") = (?, ?, ?, ?) WHERE id = ?", append(row, d.ID)...)
		if err != nil {
			return takenMAC(d, err)
		}
		return t.putAddresses(d)
	}
	id, err := t.insert("INSERT INTO devices ("+deviceColumns+") VALUES (?, ?, ?, ?)", row...)
	if err != nil {
		return takenMAC(d, err)
	}
	d.ID = sessions.DeviceID(id)
	return t.putAddresses(d)
}

// putAddresses makes a device's addresses those of d, and takes them from others. A row
// that can stay is not written: of a known device with a new address it is one.
func (t *tx) putAddresses(d *sessions.Device) error {
	stored, err := many(t, scanAddress, "SELECT ip, recency FROM addresses WHERE device_id = ? ORDER BY recency", d.ID)
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

func (t *tx) putAddress(ip string, device sessions.DeviceID, recency int64) error {
	_, err := t.exec(`INSERT INTO addresses (ip, device_id, recency) VALUES (?, ?, ?)
		ON CONFLICT (ip) DO UPDATE SET device_id = excluded.device_id, recency = excluded.recency`, ip, device, recency)
	return err
}

type address struct {
	ip      string
	recency int64
}

func scanAddress(row scanner) (a address, err error) {
	return a, row.Scan(&a.ip, &a.recency)
}

func deviceRow(d *sessions.Device) ([]any, error) {
	var c checker
	row := []any{d.MAC.String(), d.Hostname, c.wall("created_at", d.Created), encodeIP(d.Bound)}
	return row, c.err
}

func scanDevice(row scanner) (d sessions.Device, err error) {
	var mac, ips, bound string
	var created sql.NullInt64
	if err := row.Scan(&d.ID, &mac, &d.Hostname, &created, &bound, &ips); err != nil {
		return d, err
	}
	d.Created = unwall(created)
	if d.MAC, err = decodeMAC(mac); err != nil {
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
