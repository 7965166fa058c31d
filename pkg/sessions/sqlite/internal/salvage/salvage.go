// SPDX-License-Identifier: Apache-2.0

// Package salvage copies what can be read of a damaged database into a new one.
package salvage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/tables"
)

// maxKey is more than any kiosk ever gives: a larger one is damage. Believed, it would
// leave no room for new ones.
const maxKey = 1 << 40

// Kept is what was copied.
type Kept struct {
	Devices, Sessions int
	Unread            int            // rows that could not be read, at most
	Last              tables.LastIDs // that the database gave, as far as anything says
}

// Copy reads the damaged database of a connection row by row: one that cannot be read
// does not hide those behind it. Ids stay. Rows that are left out are logged.
func Copy(ctx context.Context, from *conn.Conn, to *tables.Tx, log *slog.Logger) (Kept, error) {
	w := &damaged{ctx: ctx, conn: from, to: to, log: log}
	var kept Kept
	for _, table := range []func(*Kept) error{w.copyDevices, w.copySessions, w.copyAddresses, w.copyClaims, w.copyEvents, w.copyGenerations, w.copyProviders, w.copyAnswers} {
		if err := table(&kept); err != nil {
			return kept, err
		}
	}
	kept.Unread = w.unread
	return kept, nil
}

// damaged is a database under salvage.
type damaged struct {
	ctx    context.Context
	conn   *conn.Conn
	to     *tables.Tx
	log    *slog.Logger
	unread int
}

// number is the answer to a query, 0 where there is none that can be.
func (w *damaged) number(query string) int64 {
	var found *int64
	err := w.conn.Query(query, func(row *conn.Row) error { return row.Scan(&found) })
	if err != nil || found == nil || *found > maxKey {
		return 0
	}
	return *found
}

// last is the largest key of a table, as far as anything says.
func (w *damaged) last(table, key string) int64 {
	return max(
		w.number(fmt.Sprintf("SELECT %s FROM %s ORDER BY %s DESC LIMIT 1", key, table, key)),
		w.number("SELECT seq FROM sqlite_sequence WHERE name = '"+table+"'"),
	)
}

// selectFrom reads columns of a table. One that an older schema does not have yet is made
// of those that it had instead, or has the default that its migration would give it.
func (w *damaged) selectFrom(table, columns string, instead ...replaced) (string, error) {
	values, err := w.to.ColumnDefaults(table)
	if err != nil {
		return "", err
	}
	present := w.columnsOf(table)
	for _, name := range present {
		delete(values, name)
	}
	for _, r := range instead {
		if slices.Contains(present, r.before) {
			values[r.column] = r.expression
		} else if !slices.Contains(present, r.column) {
			values[r.column] = "''"
		}
	}
	list := strings.Split(columns, ",")
	for i, name := range list {
		list[i] = strings.TrimSpace(name)
		if value, ok := values[list[i]]; ok {
			list[i] = value
		}
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + table, nil
}

// replaced is a column that took the place of others.
type replaced struct{ column, before, expression string }

// Of schema 2 and before.
var (
	ipsColumn = replaced{"ips", "ips", `coalesce((SELECT group_concat(value, ' ')
		FROM json_each(iif(json_valid(ips), ips, '[]'))), '')`}
	detailColumns = replaced{"details", "differs", `iif(interface <> '' OR duration_ms <> 0 OR differs <> '' OR value_before <> '' OR value_after <> '',
		json_object('interface', interface, 'duration_ms', duration_ms, 'differs', differs, 'before', value_before, 'after', value_after), '')`}
)

// columnsOf is empty for a table that there is not.
func (w *damaged) columnsOf(table string) (names []string) {
	w.read("SELECT name FROM pragma_table_info('"+table+"')", func(row *conn.Row) error {
		var name string
		err := row.Scan(&name)
		names = append(names, name)
		return err
	})
	return names
}

// read visits rows until it meets damage, and reports whether it met none.
func (w *damaged) read(query string, visit func(*conn.Row) error) (whole bool) {
	return w.conn.Query(query, visit) == nil
}

// readable reads the rows with a key from first to last that can be read. The query
// wants a key, and returns the first row from it on. Through much damage it goes in
// longer steps, a thousandth of the way behind it: the last key may be damage as well.
func readable[T any](w *damaged, first, last int64, query string, scan func(*conn.Row) (T, error), keyOf func(T) int64) []T {
	var all []T
	for next, failed := first, int64(0); failed == 0 || next <= last; {
		row, found, err := readOne(w.conn, scan, query, next)
		if !found && err == nil || w.ctx.Err() != nil {
			break
		}
		if err != nil || keyOf(row) < next || keyOf(row) > maxKey { // of a page of elsewhere
			w.unread++
			step := 1 + failed/1024
			next, failed = next+step, failed+step
			continue
		}
		failed = 0
		all = append(all, row)
		next = keyOf(row) + 1
	}
	return all
}

func readOne[T any](c *conn.Conn, scan func(*conn.Row) (T, error), query string, key int64) (value T, found bool, err error) {
	err = c.Query(query, func(row *conn.Row) (err error) {
		found = true
		value, err = scan(row)
		return err
	}, key)
	return value, found, err
}

// keep reports whether a row was stored. One that cannot be, since its values are not
// what was once stored, is logged; what else can fail is the disk.
func (w *damaged) keep(err error, what string, figures ...any) (kept bool, failed error) {
	if err == nil || !unfit(err) {
		return err == nil, err
	}
	w.log.Error("row read from the damaged database not stored", append(figures, "row", what, "error", err)...)
	w.unread++
	return false, nil
}

func unfit(err error) bool {
	var failed sqlite3.Error
	if errors.As(err, &failed) {
		return failed.Code == sqlite3.ErrConstraint
	}
	code := sessions.CodeOf(err)
	return code == sessions.Invalid || code == sessions.Conflict
}

func (w *damaged) copyDevices(kept *Kept) error {
	last := w.last("devices", "id")
	query, err := w.selectFrom("devices", "id, "+tables.DeviceColumns+", ips", ipsColumn)
	if err != nil {
		return err
	}
	list := readable(w, 1, last, query+" WHERE id >= ? ORDER BY id LIMIT 1",
		tables.ScanDevice, func(d sessions.Device) int64 { return int64(d.ID) })
	for _, d := range append(list, w.otherDevices(list)...) {
		last = max(last, int64(d.ID))
		stored, err := w.keep(w.to.InsertDevice(d), "a device", "device", d.ID, "mac", d.MAC, "hostname", d.Hostname)
		if err != nil {
			return err
		}
		if stored {
			kept.Devices++
		}
	}
	kept.Last.Device = last
	return nil
}

func (w *damaged) copySessions(kept *Kept) error {
	last := max(w.last("sessions", "id"), w.number("SELECT max(session_id) FROM events"))
	query, err := w.selectFrom("sessions", "id, device_id, state, expires_at, ended_at, created_at, "+tables.SessionColumns)
	if err != nil {
		return err
	}
	list := readable(w, 1, last, query+" WHERE id >= ? ORDER BY id LIMIT 1",
		tables.ScanSession, func(s sessions.Session) int64 { return int64(s.ID) })
	for _, s := range list {
		last = max(last, int64(s.ID))
		stored, err := w.keepSession(s)
		if err != nil {
			return err
		}
		if stored {
			kept.Sessions++
		}
	}
	kept.Last.Session = last
	return nil
}

func (w *damaged) keepSession(s sessions.Session) (kept bool, err error) {
	figures := []any{
		"session", s.ID, "device", s.Device, "type", s.Type, "state", s.State,
		"left", s.RemainingTime(), "left_bytes", s.RemainingBytes(),
	}
	_, err = w.to.Device(s.Device)
	if sessions.CodeOf(err) == sessions.NotFound {
		w.log.Error("session of an unreadable device not kept", figures...)
		w.unread++
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return w.keep(w.to.RestoreSession(s), "a session", figures...)
}

// copyAddresses keeps the addresses of the devices that are kept. What is lost comes
// again with the device's next packet.
func (w *damaged) copyAddresses(*Kept) error {
	found := make(map[string]storedAddress)
	for _, order := range []string{"ip", "ip DESC"} { // from both ends up to damage; none in a schema without them
		w.read("SELECT ip, device_id, recency FROM addresses ORDER BY "+order, func(row *conn.Row) error {
			var ip string
			var a storedAddress
			if err := row.Scan(&ip, (*int64)(&a.device), &a.recency); err != nil {
				return err
			}
			if addr, err := netip.ParseAddr(ip); err == nil && addr.String() == ip && a.recency < maxKey {
				found[ip] = a
			}
			return nil
		})
	}
	for ip, a := range found {
		if _, err := w.to.Device(a.device); sessions.CodeOf(err) == sessions.NotFound {
			continue
		} else if err != nil {
			return err
		}
		if err := w.to.RestoreAddress(ip, a.device, a.recency); err != nil {
			return err
		}
	}
	return nil
}

type storedAddress struct {
	device  sessions.DeviceID
	recency int64
}

// copyClaims keeps the codes of the sessions that are kept. They have no numbers by which
// to continue behind damage, so they are read from both ends up to it.
func (w *damaged) copyClaims(*Kept) error {
	if len(w.columnsOf("claims")) == 0 {
		return nil // of a schema that had none
	}
	found := make(map[sessions.SessionID]sessions.ClaimHash)
	whole := false
	for _, order := range []string{"hash", "hash DESC"} {
		whole = w.claims(order, found) || whole
	}
	if !whole {
		w.log.Error("claim codes not all readable", "read", len(found))
	}
	for id, hash := range found {
		if _, err := w.to.Session(id); sessions.CodeOf(err) == sessions.NotFound {
			continue
		} else if err != nil {
			return err
		}
		if _, err := w.keep(w.to.PutClaim(hash, id), "a claim code", "session", id); err != nil {
			return err
		}
	}
	return nil
}

// claims finds codes until it meets damage, and reports whether it met none.
func (w *damaged) claims(order string, found map[sessions.SessionID]sessions.ClaimHash) (whole bool) {
	return w.read("SELECT hash, session_id FROM claims ORDER BY "+order, func(row *conn.Row) error {
		var hash []byte
		var id sessions.SessionID
		if err := row.Scan(&hash, (*int64)(&id)); err != nil {
			return err
		}
		if _, known := found[id]; !known && len(hash) == len(sessions.ClaimHash{}) {
			found[id] = sessions.ClaimHash(hash)
		}
		return nil
	})
}

func (w *damaged) copyEvents(kept *Kept) error {
	last := w.last("events", "seq")
	query, err := w.selectFrom("events", "seq, "+tables.EventColumns, detailColumns)
	if err != nil {
		return err
	}
	list := readable(w, max(1, last-tables.KeepEvents), last, query+" WHERE seq >= ? ORDER BY seq LIMIT 1",
		tables.ScanEvent, func(e sessions.Event) int64 { return e.Seq })
	for _, e := range list {
		last = max(last, e.Seq)
		if _, err := w.keep(w.to.RestoreEvent(e), "an event", "seq", e.Seq, "type", e.Type); err != nil {
			return err
		}
	}
	kept.Last.Event = last
	return nil
}

// copyGenerations keeps those that can be read: subscribers of before know the events by
// them, and so does the checkpoint the sessions.
func (w *damaged) copyGenerations(*Kept) error {
	list := readable(w, 1, w.last("generations", "number"), "SELECT number, generation, first_event FROM generations WHERE number >= ? ORDER BY number LIMIT 1",
		tables.ScanGeneration, func(g tables.StoredGeneration) int64 { return g.Number })
	if len(list) == 0 {
		return nil // it has its own
	}
	if err := w.to.ClearGenerations(); err != nil {
		return err
	}
	for _, g := range list {
		if _, err := w.keep(w.to.RestoreGeneration(g), "a generation", "number", g.Number); err != nil {
			return err
		}
	}
	return nil
}

// copyAnswers keeps the answers that callers may ask for again.
func (w *damaged) copyAnswers(*Kept) error {
	list := readable(w, 1, w.last("answers", "number"), "SELECT number, "+tables.AnswerColumns+" FROM answers WHERE number >= ? ORDER BY number LIMIT 1",
		tables.ScanAnswer, func(a tables.StoredAnswer) int64 { return a.Number })
	for _, a := range list {
		if _, err := w.keep(w.to.PutAnswer(a.Answer), "an answer", "number", a.Number); err != nil {
			return err
		}
	}
	return nil
}

func (w *damaged) copyProviders(*Kept) error {
	list := readable(w, 1, w.last("providers", "place"), "SELECT place, name, socket FROM providers WHERE place >= ? ORDER BY place LIMIT 1",
		scanProvider, func(p orderedProvider) int64 { return p.order })
	for _, p := range list {
		if _, err := w.keep(w.to.PutProvider(p.ProviderRecord), "a provider", "name", p.Name, "socket", p.Socket); err != nil {
			return err
		}
	}
	return nil
}

// otherDevices are those whose row cannot be read, but that the index of MACs or an
// event shows.
func (w *damaged) otherDevices(known []sessions.Device) (found []sessions.Device) {
	seen := make(map[sessions.DeviceID]bool)
	taken := make(map[dataplane.MAC]bool)
	for _, d := range known {
		seen[d.ID], taken[d.MAC] = true, true
	}
	for _, query := range []string{
		"SELECT id, mac FROM devices ORDER BY mac",
		"SELECT id, mac FROM devices ORDER BY mac DESC",
		"SELECT device_id, mac FROM events WHERE device_id > 0 AND mac <> '' ORDER BY seq DESC",
	} {
		w.macs(query, func(d sessions.Device) {
			if !seen[d.ID] && !taken[d.MAC] {
				seen[d.ID], taken[d.MAC] = true, true
				found = append(found, d)
			}
		})
	}
	return found
}

// macs yields what a query finds until it meets damage.
func (w *damaged) macs(query string, yield func(sessions.Device)) {
	w.read(query, func(row *conn.Row) error {
		var d sessions.Device
		var text string
		if err := row.Scan((*int64)(&d.ID), &text); err != nil {
			return err
		}
		if mac, err := tables.DecodeMAC(text); err == nil && d.ID > 0 && d.ID <= maxKey {
			d.MAC = mac
			yield(d)
		}
		return nil
	})
}

type orderedProvider struct {
	order int64
	sessions.ProviderRecord
}

func scanProvider(row *conn.Row) (p orderedProvider, err error) {
	err = row.Scan(&p.order, &p.Name, &p.Socket)
	return p, err
}
