// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// sessionColumns are the columns in no index, in the order of [values] and
// [scanSession].
const sessionColumns = `provider, type, time_ns, time_used_ns, data_bytes, data_used_bytes,
	down_bps, up_bps, use_global_speed, exp_days, started_at, created_at, token, unsaved,
	meter_epoch, meter_spent, meter_drops, meter_boot, meter_at_ns, meter_low`

var (
	sessionPlaceholders = placeholders(strings.Count(sessionColumns, ",") + 1)
	selectSessions      = "SELECT id, device_id, state, expires_at, " + sessionColumns + " FROM sessions"
	insertSession       = "INSERT INTO sessions (device_id, state, expires_at, " + sessionColumns + ") VALUES (?, ?, ?, " + sessionPlaceholders + ")"
	// By what of the keys changed.
	updateSession       = "UPDATE sessions SET (device_id, state, expires_at, " + sessionColumns + ") = (?, ?, ?, " + sessionPlaceholders + ") WHERE id = ?"
	updateSessionState  = "UPDATE sessions SET (state, " + sessionColumns + ") = (?, " + sessionPlaceholders + ") WHERE id = ?"
	updateSessionValues = "UPDATE sessions SET (" + sessionColumns + ") = (" + sessionPlaceholders + ") WHERE id = ?"
)

// sessionKeys are the columns in an index. SQLite rewrites the index entries of every
// column that a SET names, changed or not, and settling, by far the most frequent write,
// should not wear the flash with that.
type sessionKeys struct {
	device  sessions.DeviceID
	state   sessions.State
	expires sql.NullInt64
}

// keysOf computes expires_at, by the rules' own function.
func keysOf(s *sessions.Session) sessionKeys {
	k := sessionKeys{device: s.Device, state: s.State}
	if s.State == sessions.Consumed || s.State == sessions.Expired {
		return k
	}
	at, ok := s.Expires()
	k.expires = sql.NullInt64{Int64: at.UnixNano(), Valid: ok && fitsWall(at)}
	return k
}

// rememberKeys keeps what is stored as the keys of a session in a transaction that
// writes.
func (t *tx) rememberKeys(id sessions.SessionID, k sessionKeys) {
	if !t.writes {
		return
	}
	if t.keys == nil {
		t.keys = make(map[sessions.SessionID]sessionKeys)
	}
	t.keys[id] = k
}

func (t *tx) scanSession(row scanner) (sessions.Session, error) {
	s, expires, err := scanSession(row)
	if err == nil {
		t.rememberKeys(s.ID, sessionKeys{s.Device, s.State, expires})
	}
	return s, err
}

func (t *tx) Session(id sessions.SessionID) (sessions.Session, error) {
	return one(t, missingSession(id), t.scanSession, selectSessions+" WHERE id = ?", id)
}

func (t *tx) Sessions(filter sessions.SessionFilter) ([]sessions.Session, error) {
	var where []string
	var args []any
	if filter.Device != 0 {
		where, args = append(where, "device_id = ?"), append(args, filter.Device)
	}
	if len(filter.States) > 0 {
		where = append(where, "state IN ("+placeholders(len(filter.States))+")")
		for _, state := range filter.States {
			args = append(args, string(state))
		}
	}
	if filter.Unsaved {
		where = append(where, "unsaved = 1")
	}
	if filter.After != 0 {
		where, args = append(where, "id > ?"), append(args, filter.After)
	}
	query := selectSessions
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY id"
	if filter.Limit > 0 {
		query, args = query+" LIMIT ?", append(args, filter.Limit)
	}
	return many(t, t.scanSession, query, args...)
}

func (t *tx) PastExpiry(now time.Time, limit int) ([]sessions.Session, error) {
	if !fitsWall(now) {
		return nil, nil
	}
	return many(t, t.scanSession, selectSessions+" INDEXED BY sessions_by_expiry"+
		" WHERE expires_at <= ? AND state IN ('available', 'paused') ORDER BY expires_at LIMIT ?", now.UnixNano(), limit)
}

// RunningOf names the index: left to itself SQLite looks at all that run, to get them
// in order, each time that some are asked for.
func (t *tx) RunningOf(devices []sessions.DeviceID) ([]sessions.Session, error) {
	args := make([]any, len(devices))
	for i, id := range devices {
		args[i] = id
	}
	return many(t, t.scanSession, selectSessions+" INDEXED BY sessions_by_device"+
		" WHERE device_id IN ("+placeholders(len(args))+") AND state = 'running' ORDER BY id", args...)
}

func (t *tx) RunningDevices() ([]sessions.DeviceID, error) {
	scan := func(row scanner) (id sessions.DeviceID, err error) {
		err = row.Scan(&id)
		return id, err
	}
	return many(t, scan, "SELECT device_id FROM sessions WHERE state = 'running' ORDER BY device_id")
}

func (t *tx) CountSessions() (map[sessions.State]int, error) {
	counts := make(map[sessions.State]int)
	scan := func(row scanner) (n int, err error) {
		var state sessions.State
		err = row.Scan(&state, &n)
		counts[state] = n
		return n, err
	}
	_, err := many(t, scan, "SELECT state, count(*) FROM sessions GROUP BY state")
	return counts, err
}

func (t *tx) PutSession(s *sessions.Session) error {
	row, err := values(s)
	if err != nil {
		return err
	}
	k := keysOf(s)
	if s.ID == 0 {
		var id int64
		id, err = t.insert(insertSession, append([]any{k.device, string(k.state), k.expires}, row...)...)
		s.ID = sessions.SessionID(id)
	} else {
		err = t.updateSession(s.ID, k, row)
	}
	if err != nil {
		return unknownDevice(s, err)
	}
	t.rememberKeys(s.ID, k)
	return nil
}

// updateSession names no key that is as it was.
func (t *tx) updateSession(id sessions.SessionID, k sessionKeys, row []any) error {
	before, known := t.keys[id]
	onlyState := before
	onlyState.state = k.state
	switch {
	case known && before == k:
		return t.change(missingSession(id), updateSessionValues, append(row, id)...)
	case known && onlyState == k:
		return t.change(missingSession(id), updateSessionState, append(append([]any{string(k.state)}, row...), id)...)
	}
	whole := append([]any{k.device, string(k.state), k.expires}, row...)
	return t.change(missingSession(id), updateSession, append(whole, id)...)
}

func (t *tx) DeleteSession(id sessions.SessionID) error {
	return t.change(missingSession(id), "DELETE FROM sessions WHERE id = ?", id)
}

// values are those of sessionColumns. It refuses what the columns cannot hold.
func values(s *sessions.Session) ([]any, error) {
	if s.Type > sessions.TimeOrData {
		return nil, sessions.Invalidf("type", "%d is not a type of session", s.Type)
	}
	states := []sessions.State{sessions.Available, sessions.Running, sessions.Paused, sessions.Consumed, sessions.Expired}
	if !slices.Contains(states, s.State) {
		return nil, sessions.Invalidf("state", "%q is not a state of a session", s.State)
	}
	var c checker
	row := []any{
		s.Provider, int64(s.Type),
		c.duration("time", s.Time), c.duration("time_used", s.TimeUsed),
		c.amount("data_bytes", s.Bytes), c.amount("data_used_bytes", s.Used),
		c.amount("down_bps", s.DownBPS), c.amount("up_bps", s.UpBPS),
		s.UseGlobalSpeed, c.days("exp_days", s.ExpDays),
		c.wall("started_at", s.Started), c.wall("created_at", s.Created),
		s.Token, s.Unsaved,
		// Whatever the kernel's 64 bits are, they come back the same.
		int64(s.Meter.Epoch), int64(s.Meter.Spent), int64(s.Meter.Drops),
		s.Meter.Boot, int64(s.Meter.At), s.Meter.Low,
	}
	return row, c.err
}

func scanSession(row scanner) (s sessions.Session, expires sql.NullInt64, err error) {
	var days, started, created sql.NullInt64
	var epoch, spent, drops int64
	err = row.Scan(&s.ID, &s.Device, &s.State, &expires,
		&s.Provider, &s.Type, &s.Time, &s.TimeUsed, &s.Bytes, &s.Used,
		&s.DownBPS, &s.UpBPS, &s.UseGlobalSpeed, &days, &started, &created,
		&s.Token, &s.Unsaved,
		&epoch, &spent, &drops, &s.Meter.Boot, &s.Meter.At, &s.Meter.Low)
	if days.Valid {
		n := uint(min(uint64(days.Int64), math.MaxUint))
		s.ExpDays = &n
	}
	s.Started, s.Created = unwall(started), unwall(created)
	s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = uint64(epoch), uint64(spent), uint64(drops)
	return s, expires, err
}

func missingSession(id sessions.SessionID) func() error {
	return func() error { return sessions.Errorf(sessions.NotFound, "session %d does not exist", id) }
}

func unknownDevice(s *sessions.Session, err error) error {
	if violates(err, sqlite3.ErrConstraintForeignKey) {
		return noDevice(s.Device)
	}
	return err
}
