// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// deviceFigures are the columns behind the id, in the order of [deviceRow] and
// [scanDevice].
const deviceFigures = "mac, ips, hostname, created_at, bound"

const selectDevices = "SELECT id, " + deviceFigures + " FROM devices"

func (t *tx) Device(id sessions.DeviceID) (sessions.Device, error) {
	return one(t, noDevice(id), scanDevice, selectDevices+" WHERE id = ?", id)
}

func (t *tx) DeviceByMAC(mac dataplane.MAC) (sessions.Device, error) {
	missing := sessions.Errorf(sessions.NotFound, "no device has the MAC %s", mac)
	return one(t, missing, scanDevice, selectDevices+" WHERE mac = ?", mac.String())
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
		return takenMAC(d, t.change(noDevice(d.ID),
			"UPDATE devices SET ("+deviceFigures+") = (?, ?, ?, ?, ?) WHERE id = ?", append(row, d.ID)...))
	}
	id, err := t.insert("INSERT INTO devices ("+deviceFigures+") VALUES (?, ?, ?, ?, ?)", row...)
	if err != nil {
		return takenMAC(d, err)
	}
	d.ID = sessions.DeviceID(id)
	return nil
}

func deviceRow(d *sessions.Device) ([]any, error) {
	ips, err := encodeIPs(d.IPs)
	if err != nil {
		return nil, err
	}
	var c checker
	row := []any{d.MAC.String(), ips, d.Hostname, c.wall("created_at", d.Created), encodeIP(d.Bound)}
	return row, c.err
}

func scanDevice(row scanner) (d sessions.Device, err error) {
	var mac, ips, bound string
	var created sql.NullInt64
	if err := row.Scan(&d.ID, &mac, &ips, &d.Hostname, &created, &bound); err != nil {
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
