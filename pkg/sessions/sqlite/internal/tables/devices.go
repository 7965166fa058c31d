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
const DeviceColumns = "mac, hostname, created_at, seen_at, bound"

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

// matchesDevice is the condition of a query; its three arguments are the same pattern.
const matchesDevice = `(mac LIKE ? ESCAPE '\' OR hostname LIKE ? ESCAPE '\'
	OR devices.id IN (SELECT device_id FROM addresses WHERE ip LIKE ? ESCAPE '\'))`

// Devices looks at every device for a Query, and for Idle: SQLite has no index of parts.
func (t deviceTable) Devices(filter sessions.DeviceFilter) ([]sessions.Device, error) {
	var w where
	w.page("devices.id", int64(filter.After), filter.Newest)
	if !filter.Since.IsZero() {
		w.and("created_at >= ?", filter.Since.UnixNano())
	}
	if filter.Query != "" {
		like := pattern(filter.Query)
		w.and(matchesDevice, like, like, like)
	}
	if !filter.Idle.IsZero() {
		w.and("coalesce(seen_at, created_at) < ? AND NOT EXISTS (SELECT 1 FROM sessions WHERE device_id = devices.id)", filter.Idle.UnixNano())
	}
	query := selectDevices + w.String() + w.order("id", filter.Newest, filter.Limit)
	return many(t.statements, ScanDevice, query, w.args...)
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
		err := t.change(missing, "UPDATE devices SET ("+DeviceColumns+") = (?, ?, ?, ?, ?) WHERE id = ?", append(row, int64(d.ID))...)
		if err != nil {
			return takenMAC(d, err)
		}
		return t.putAddresses(d)
	}
	id, err := t.insert("INSERT INTO devices ("+DeviceColumns+") VALUES (?, ?, ?, ?, ?)", row...)
	if err != nil {
		return takenMAC(d, err)
	}
	d.ID = sessions.DeviceID(id)
	return t.putAddresses(d)
}

func (t deviceTable) ReserveDevices(n int) (sessions.DeviceID, error) {
	done, err := t.exec("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'devices'", int64(n))
	if err != nil {
		return 0, err
	}
	if changed, err := done.RowsAffected(); err != nil {
		return 0, err
	} else if changed == 0 { // there was no device yet
		if _, err := t.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('devices', ?)", int64(n)); err != nil {
			return 0, err
		}
	}
	last, err := one(t.statements, nil, scanInt, "SELECT seq FROM sqlite_sequence WHERE name = 'devices'")
	return sessions.DeviceID(last - int64(n) + 1), err
}

// InsertDevice inserts a device under its id, and its addresses.
func (t deviceTable) InsertDevice(d sessions.Device) error {
	row, err := deviceRow(&d)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO devices (id, "+DeviceColumns+") VALUES (?, ?, ?, ?, ?, ?)", append([]any{int64(d.ID)}, row...)...)
	if err != nil {
		return takenMAC(&d, err)
	}
	return t.putAddresses(&d)
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
	row := []any{d.MAC.String(), d.Hostname, c.wall("created_at", d.Created), c.wall("seen_at", d.Seen), encodeIP(d.Bound)}
	return row, c.err
}

// ScanDevice reads the id, the columns, and the addresses with spaces between.
func ScanDevice(row *conn.Row) (d sessions.Device, err error) {
	var mac, bound, ips string
	if err := row.Scan((*int64)(&d.ID), &mac, &d.Hostname, &d.Created, &d.Seen, &bound, &ips); err != nil {
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
