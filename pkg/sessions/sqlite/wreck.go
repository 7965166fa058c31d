// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// idGap is left between the last id that a damaged database shows and the first new
// one: more than what a kiosk sells, and can no longer be read.
const idGap = 100_000

// maxKey is more than any kiosk ever gives: a larger one is damage. Believed, it would
// leave no room for new ones.
const maxKey = 1 << 40

// wreck is a damaged database, read row by row: one that cannot be read does not hide
// those behind it.
type wreck struct {
	db     *sql.DB
	log    *slog.Logger
	unread int
}

func openWreck(path string, log *slog.Logger) (*wreck, error) {
	db, err := sql.Open("sqlite3", dsn(path, url.Values{"mode": {"ro"}, "_query_only": {"on"}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &wreck{db: db, log: log}, nil
}

// number is the answer to a query, 0 where there is none that can be.
func (w *wreck) number(ctx context.Context, query string) (n int64) {
	if err := w.db.QueryRowContext(ctx, query).Scan(&n); err != nil || n > maxKey {
		return 0
	}
	return n
}

// last is the largest key of a table, as far as anything says.
func (w *wreck) last(ctx context.Context, table, key string) int64 {
	return max(
		w.number(ctx, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s DESC LIMIT 1", key, table, key)),
		w.number(ctx, "SELECT seq FROM sqlite_sequence WHERE name = '"+table+"'"),
	)
}

// selectFrom reads columns of a table. One that an older schema does not have yet is made
// of those that it had instead, or has the default that its migration would give it.
func (w *wreck) selectFrom(ctx context.Context, t *tx, table, columns string, instead ...replaced) (string, error) {
	all, err := many(t, scanDefault, "SELECT name, coalesce(dflt_value, 'NULL') FROM pragma_table_info(?)", table)
	if err != nil {
		return "", err
	}
	defaults := make(map[string]string)
	for _, column := range all {
		defaults[column.name] = column.value
	}
	present := w.columnsOf(ctx, table)
	for _, name := range present {
		delete(defaults, name)
	}
	for _, r := range instead {
		if slices.Contains(present, r.before) {
			defaults[r.column] = r.expression
		} else if !slices.Contains(present, r.column) {
			defaults[r.column] = "''"
		}
	}
	list := strings.Split(columns, ",")
	for i, name := range list {
		list[i] = strings.TrimSpace(name)
		if value, ok := defaults[list[i]]; ok {
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

type columnDefault struct{ name, value string }

func scanDefault(row scanner) (c columnDefault, err error) {
	err = row.Scan(&c.name, &c.value)
	return c, err
}

// columnsOf is empty for a table that there is not.
func (w *wreck) columnsOf(ctx context.Context, table string) (names []string) {
	rows, err := w.db.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return nil
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if rows.Scan(&name) != nil {
			return names
		}
		names = append(names, name)
	}
	_ = rows.Err() // the schema is read before the first row
	return names
}

// readable reads the rows with a key from first to last that can be read. The query
// wants a key, and returns the first row from it on. Through much damage it goes in
// longer steps, a thousandth of the way behind it: the last key may be damage as well.
func readable[T any](ctx context.Context, w *wreck, first, last int64, query string, scan func(scanner) (T, error), keyOf func(T) int64) []T {
	var all []T
	for next, failed := first, int64(0); failed == 0 || next <= last; {
		row, err := scan(w.db.QueryRowContext(ctx, query, next))
		if errors.Is(err, sql.ErrNoRows) || ctx.Err() != nil {
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

// keep reports whether a row was stored. One that cannot be, since its values are not
// what was once stored, is told to the log; what else can fail is the disk.
func (w *wreck) keep(err error, what string, figures ...any) (kept bool, failed error) {
	if err == nil || !unfit(err) {
		return err == nil, err
	}
	w.log.Error("a row was read that cannot be stored", append(figures, "row", what, "error", err)...)
	w.unread++
	return false, nil
}

func unfit(err error) bool {
	var failed sqlite3.Error
	if errors.As(err, &failed) {
		return failed.Code == sqlite3.ErrConstraint
	}
	return sessions.CodeOf(err) == sessions.Invalid
}

// copy takes over what can be read.
func (r *Rescued) copy(ctx context.Context, w *wreck, t *tx, now time.Time) (err error) {
	var last lastGiven
	if last.device, err = r.copyDevices(ctx, w, t); err != nil {
		return err
	}
	if last.session, err = r.copySessions(ctx, w, t); err != nil {
		return err
	}
	if err := copyAddresses(ctx, w, t); err != nil {
		return err
	}
	if err := copyClaims(ctx, w, t); err != nil {
		return err
	}
	if last.event, err = copyEvents(ctx, w, t); err != nil {
		return err
	}
	if err := copyProviders(ctx, w, t); err != nil {
		return err
	}
	r.Unread = w.unread
	return t.goOn(last, sessions.Event{Time: now, Type: sessions.DatabaseRescued, Message: r.String()})
}

// copyDevices returns the largest id that is known, as those below do.
func (r *Rescued) copyDevices(ctx context.Context, w *wreck, t *tx) (last int64, err error) {
	last = w.last(ctx, "devices", "id")
	query, err := w.selectFrom(ctx, t, "devices", "id, "+deviceColumns+", ips", ipsColumn)
	if err != nil {
		return last, err
	}
	list := readable(ctx, w, 1, last, query+" WHERE id >= ? ORDER BY id LIMIT 1",
		scanDevice, func(d sessions.Device) int64 { return int64(d.ID) })
	for _, d := range append(list, w.otherDevices(ctx, list)...) {
		last = max(last, int64(d.ID))
		kept, err := w.keep(t.restoreDevice(d), "a device", "device", d.ID, "mac", d.MAC, "hostname", d.Hostname)
		if err != nil {
			return last, err
		}
		if kept {
			r.Devices++
		}
	}
	return last, nil
}

func (r *Rescued) copySessions(ctx context.Context, w *wreck, t *tx) (last int64, err error) {
	last = max(w.last(ctx, "sessions", "id"), w.number(ctx, "SELECT max(session_id) FROM events"))
	query, err := w.selectFrom(ctx, t, "sessions", "id, device_id, state, expires_at, "+sessionColumns)
	if err != nil {
		return last, err
	}
	list := readable(ctx, w, 1, last, query+" WHERE id >= ? ORDER BY id LIMIT 1",
		scanOldSession, func(s sessions.Session) int64 { return int64(s.ID) })
	for _, s := range list {
		last = max(last, int64(s.ID))
		kept, err := w.keepSession(t, s)
		if err != nil {
			return last, err
		}
		if kept {
			r.Sessions++
		}
	}
	return last, nil
}

func scanOldSession(row scanner) (sessions.Session, error) {
	s, _, err := scanSession(row)
	return s, err
}

func (w *wreck) keepSession(t *tx, s sessions.Session) (kept bool, err error) {
	figures := []any{
		"session", s.ID, "device", s.Device, "type", s.Type, "state", s.State,
		"left", s.RemainingTime(), "left_bytes", s.RemainingBytes(),
	}
	_, err = t.Device(s.Device)
	if sessions.CodeOf(err) == sessions.NotFound {
		w.log.Error("a session was read whose device was not", figures...)
		w.unread++
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return w.keep(t.restoreSession(s), "a session", figures...)
}

// copyAddresses keeps the addresses of the devices that are kept. What is lost comes
// again with the device's next packet.
func copyAddresses(ctx context.Context, w *wreck, t *tx) error {
	found := make(map[string]storedAddress)
	for _, order := range []string{"ip", "ip DESC"} {
		w.addresses(ctx, order, found)
	}
	for ip, a := range found {
		if _, err := t.Device(a.device); sessions.CodeOf(err) == sessions.NotFound {
			continue
		} else if err != nil {
			return err
		}
		if err := t.putAddress(ip, a.device, a.recency); err != nil {
			return err
		}
	}
	return nil
}

type storedAddress struct {
	device  sessions.DeviceID
	recency int64
}

// addresses finds addresses until it meets damage; none in a schema without them.
func (w *wreck) addresses(ctx context.Context, order string, found map[string]storedAddress) {
	rows, err := w.db.QueryContext(ctx, "SELECT ip, device_id, recency FROM addresses ORDER BY "+order)
	if err != nil {
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var ip string
		var a storedAddress
		if rows.Scan(&ip, &a.device, &a.recency) != nil {
			return
		}
		if addr, err := netip.ParseAddr(ip); err == nil && addr.String() == ip && a.recency < maxKey {
			found[ip] = a
		}
	}
	_ = rows.Err() // damage ends it; what came before is good
}

// copyClaims keeps the codes of the sessions that are kept. They have no numbers to go
// on with behind damage, so they are read from both ends up to it.
func copyClaims(ctx context.Context, w *wreck, t *tx) error {
	if len(w.columnsOf(ctx, "claims")) == 0 {
		return nil // of a schema that had none
	}
	found := make(map[sessions.SessionID]sessions.ClaimHash)
	whole := false
	for _, order := range []string{"hash", "hash DESC"} {
		whole = w.claims(ctx, order, found) || whole
	}
	if !whole {
		w.log.Error("some claim codes may be lost", "read", len(found))
	}
	for id, hash := range found {
		if _, err := t.Session(id); sessions.CodeOf(err) == sessions.NotFound {
			continue
		} else if err != nil {
			return err
		}
		if _, err := w.keep(t.PutClaim(hash, id), "a claim code", "session", id); err != nil {
			return err
		}
	}
	return nil
}

// claims finds codes until it meets damage, and reports whether it met none.
func (w *wreck) claims(ctx context.Context, order string, found map[sessions.SessionID]sessions.ClaimHash) (whole bool) {
	rows, err := w.db.QueryContext(ctx, "SELECT hash, session_id FROM claims ORDER BY "+order)
	if err != nil {
		return false
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var hash []byte
		var id sessions.SessionID
		if rows.Scan(&hash, &id) != nil {
			return false
		}
		if _, known := found[id]; !known && len(hash) == len(sessions.ClaimHash{}) {
			found[id] = sessions.ClaimHash(hash)
		}
	}
	return rows.Err() == nil
}

func copyEvents(ctx context.Context, w *wreck, t *tx) (last int64, err error) {
	last = w.last(ctx, "events", "seq")
	query, err := w.selectFrom(ctx, t, "events", "seq, "+eventColumns, detailColumns)
	if err != nil {
		return last, err
	}
	list := readable(ctx, w, max(1, last-keepEvents), last, query+" WHERE seq >= ? ORDER BY seq LIMIT 1",
		scanEvent, func(e sessions.Event) int64 { return e.Seq })
	for _, e := range list {
		last = max(last, e.Seq)
		if _, err := w.keep(t.restoreEvent(e), "an event", "seq", e.Seq, "type", e.Type); err != nil {
			return last, err
		}
	}
	return last, nil
}

func copyProviders(ctx context.Context, w *wreck, t *tx) error {
	list := readable(ctx, w, 1, w.last(ctx, "providers", "place"), "SELECT place, name, socket FROM providers WHERE place >= ? ORDER BY place LIMIT 1",
		scanPlace, func(p placed) int64 { return p.place })
	for _, p := range list {
		if _, err := w.keep(t.PutProvider(p.ProviderRecord), "a provider", "name", p.Name, "socket", p.Socket); err != nil {
			return err
		}
	}
	return nil
}

// otherDevices are those whose row cannot be read, but that the index of MACs or an
// event tells of.
func (w *wreck) otherDevices(ctx context.Context, known []sessions.Device) (found []sessions.Device) {
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
		w.macs(ctx, query, func(d sessions.Device) {
			if !seen[d.ID] && !taken[d.MAC] {
				seen[d.ID], taken[d.MAC] = true, true
				found = append(found, d)
			}
		})
	}
	return found
}

// macs yields what a query finds until it meets damage.
func (w *wreck) macs(ctx context.Context, query string, yield func(sessions.Device)) {
	rows, err := w.db.QueryContext(ctx, query)
	if err != nil {
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d sessions.Device
		var text string
		if rows.Scan(&d.ID, &text) != nil {
			return
		}
		if mac, err := decodeMAC(text); err == nil && d.ID > 0 && d.ID <= maxKey {
			d.MAC = mac
			yield(d)
		}
	}
	_ = rows.Err() // damage ends it; what came before is good
}

type placed struct {
	place int64
	sessions.ProviderRecord
}

func scanPlace(row scanner) (p placed, err error) {
	err = row.Scan(&p.place, &p.Name, &p.Socket)
	return p, err
}
