// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite/internal/conn"
)

// sessionTable remembers the keys of the sessions that its transaction read or wrote.
type sessionTable struct {
	*statements
	tag  uint32                             // of what is inserted
	keys map[sessions.SessionID]sessionKeys // as they are stored
}

// keyColumns are in an index, and change.
const keyColumns = "device_id, state, expires_at, ended_at"

// SessionColumns are the columns behind id, keys and created_at, in the order of
// [ScanSession]: those in no index but that of unsaved ones.
const SessionColumns = `provider, type, time_ns, time_used_ns, data_bytes, data_used_bytes,
	down_bps, up_bps, use_global_speed, exp_days, started_at, token, unsaved,
	meter_epoch, meter_spent, meter_drops, meter_boot, meter_at_ns, meter_low, account_tag, reference`

var (
	sessionPlaceholders = placeholders(strings.Count(SessionColumns, ",") + 1)
	selectSessions      = "SELECT id, " + keyColumns + ", created_at, " + SessionColumns + " FROM sessions"
	insertSession       = "INSERT INTO sessions (" + keyColumns + ", created_at, " + SessionColumns + ") VALUES (?, ?, ?, ?, ?, " + sessionPlaceholders + ")"
	selectPastExpiry    = selectSessions + " INDEXED BY sessions_by_expiry" +
		" WHERE expires_at <= ? AND state IN ('available', 'paused') ORDER BY expires_at LIMIT ? + 0"

	selectEnded = selectSessions + " INDEXED BY sessions_by_end" +
		" WHERE ended_at < ? AND unsaved = 0 AND state IN ('consumed', 'expired') ORDER BY ended_at LIMIT ? + 0"
	selectSold = "SELECT EXISTS (SELECT 1 FROM sessions WHERE created_at = ? AND provider = 'local')"

	// By what of the keys changed; created_at does not.
	updateSession       = "UPDATE sessions SET (" + keyColumns + ", " + SessionColumns + ") = (?, ?, ?, ?, " + sessionPlaceholders + ") WHERE id = ?"
	updateSessionState  = "UPDATE sessions SET (state, " + SessionColumns + ") = (?, " + sessionPlaceholders + ") WHERE id = ?"
	updateSessionValues = "UPDATE sessions SET (" + SessionColumns + ") = (" + sessionPlaceholders + ") WHERE id = ?"
)

// sessionKeys are the columns in an index. SQLite rewrites the index entries of every
// column that a SET names, changed or not, and settling, by far the most frequent write,
// should not wear the flash with that.
type sessionKeys struct {
	device  sessions.DeviceID
	state   sessions.State
	expires any // int64; nil: never
	ended   any // int64; nil: it is not over
}

// args are those of keyColumns, and what comes behind them.
func (k sessionKeys) args(more ...any) []any {
	return append([]any{int64(k.device), string(k.state), k.expires, k.ended}, more...)
}

// keysOf computes expires_at by the rules' own function.
func keysOf(s *sessions.Session) sessionKeys {
	k := sessionKeys{device: s.Device, state: s.State}
	if !s.Ended.IsZero() && fitsWall(s.Ended) {
		k.ended = s.Ended.UnixNano()
	}
	if s.State == sessions.Consumed || s.State == sessions.Expired {
		return k
	}
	if at, ok := s.Expires(); ok && fitsWall(at) {
		k.expires = at.UnixNano()
	}
	return k
}

// rememberKeys keeps what is stored as the keys of a session in a transaction that
// writes.
func (t *sessionTable) rememberKeys(id sessions.SessionID, k sessionKeys) {
	if !t.writes {
		return
	}
	if t.keys == nil {
		t.keys = make(map[sessions.SessionID]sessionKeys)
	}
	t.keys[id] = k
}

func (t *sessionTable) scan(row *conn.Row) (sessions.Session, error) {
	s, k, err := scanSession(row)
	if err == nil {
		t.rememberKeys(s.ID, k)
	}
	return s, err
}

func (t *sessionTable) Session(id sessions.SessionID) (sessions.Session, error) {
	return one(t.statements, missingSession(id), t.scan, selectSessions+" WHERE id = ?", int64(id))
}

func (t *sessionTable) Sessions(filter sessions.SessionFilter) ([]sessions.Session, error) {
	if len(filter.States) > 1 && filter.Device == 0 {
		return t.sessionsOfStates(filter)
	}
	w := whereSessions(filter)
	query := selectSessions
	if filter.Device != 0 {
		query += " INDEXED BY sessions_by_device"
	}
	query += w.String() + w.order("id", filter.Newest, filter.Limit)
	return many(t.statements, t.scan, query, w.args...)
}

// sessionsOfStates merges the sessions of each state, which the index has by id: for a list
// of states SQLite would look at all sessions, or sort those of the states for each page.
func (t *sessionTable) sessionsOfStates(filter sessions.SessionFilter) ([]sessions.Session, error) {
	states := slices.Compact(slices.Sorted(slices.Values(filter.States)))
	parts := make([]string, len(states))
	var all where
	for i, state := range states {
		filter.States = []sessions.State{state}
		w := whereSessions(filter)
		parts[i], all.args = selectSessions+w.String(), append(all.args, w.args...)
	}
	query := strings.Join(parts, " UNION ALL ") + all.order("id", filter.Newest, filter.Limit)
	return many(t.statements, t.scan, query, all.args...)
}

func whereSessions(filter sessions.SessionFilter) where {
	var w where
	if filter.Device != 0 { // with = SQLite would parse the statement anew for each device
		w.and("device_id IN (?)", int64(filter.Device))
	}
	if len(filter.States) > 0 {
		w.and(stateIn(filter))
	}
	if filter.Reference != "" { // a literal of the index's own condition, so that it is used
		w.and("reference <> '' AND reference = ?", filter.Reference)
	}
	if filter.Unsaved {
		w.and("unsaved = 1")
	}
	w.page("id", int64(filter.After), filter.Newest)
	if since := filter.Since.UnixNano(); !filter.Since.IsZero() {
		w.and("created_at >= ?", since)
		if filter.After == 0 || filter.Newest { // those before are left out at once
			w.and("id >= (SELECT min(id) FROM sessions WHERE created_at >= ?)", since)
		}
	}
	if filter.Query != "" {
		like := pattern(filter.Query)
		w.and("device_id IN (SELECT id FROM devices WHERE "+matchesDevice+")", like, like, like)
	}
	return w
}

// stateIn is the condition on states. Of one device those few are compared one by one: for
// IN, SQLite would fill a table of its own. They are no parameters, for which SQLite would
// parse the statement each time.
func stateIn(filter sessions.SessionFilter) string {
	literals := make([]string, len(filter.States))
	for i, state := range filter.States {
		literals[i] = "'" + strings.ReplaceAll(string(state), "'", "''") + "'"
	}
	if filter.Device == 0 {
		return "state IN (" + strings.Join(literals, ", ") + ")"
	}
	return "(+state = " + strings.Join(literals, " OR +state = ") + ")"
}

func (t *sessionTable) EndedBefore(at time.Time, limit int) ([]sessions.Session, error) {
	if !fitsWall(at) {
		return nil, nil
	}
	return many(t.statements, t.scan, selectEnded, at.UnixNano(), int64(limit))
}

func (t *sessionTable) Sold(at time.Time) (bool, error) {
	found, err := one(t.statements, nil, scanInt, selectSold, at.UnixNano())
	return found != 0, err
}

func (t *sessionTable) PastExpiry(now time.Time, limit int) ([]sessions.Session, error) {
	if !fitsWall(now) {
		return nil, nil
	}
	return many(t.statements, t.scan, selectPastExpiry, now.UnixNano(), int64(limit))
}

// RunningOf names the index: left to itself SQLite looks at all that run, to get them
// in order, each time that some are asked for.
func (t *sessionTable) RunningOf(devices []sessions.DeviceID) ([]sessions.Session, error) {
	args := make([]any, len(devices))
	for i, id := range devices {
		args[i] = int64(id)
	}
	return many(t.statements, t.scan, selectSessions+" INDEXED BY sessions_by_device"+
		" WHERE device_id IN ("+placeholders(len(args))+") AND state = 'running' ORDER BY id", args...)
}

func (t *sessionTable) RunningDevices() ([]sessions.DeviceID, error) {
	scan := func(row *conn.Row) (id sessions.DeviceID, err error) {
		err = row.Scan((*int64)(&id))
		return id, err
	}
	return many(t.statements, scan, "SELECT device_id FROM sessions WHERE state = 'running' ORDER BY device_id")
}

func (t *sessionTable) CountSessions() (map[sessions.State]int, error) {
	counts := make(map[sessions.State]int)
	err := t.each("SELECT state, count(*) FROM sessions GROUP BY state", func(row *conn.Row) error {
		var state string
		var n int64
		err := row.Scan(&state, &n)
		counts[sessions.State(state)] = int(n)
		return err
	})
	return counts, err
}

func (t *sessionTable) PutSession(s *sessions.Session) error {
	if s.ID == 0 {
		s.Tag = t.tag
	}
	created, row, err := values(s)
	if err != nil {
		return err
	}
	k := keysOf(s)
	if s.ID == 0 {
		var id int64
		id, err = t.insert(insertSession, append(k.args(created), row...)...)
		s.ID = sessions.SessionID(id)
	} else {
		err = t.updateSession(s.ID, k, row)
	}
	if err != nil {
		return t.refused(s, err)
	}
	t.rememberKeys(s.ID, k)
	return nil
}

// updateSession names no key that is as it was.
func (t *sessionTable) updateSession(id sessions.SessionID, k sessionKeys, row []any) error {
	before, known := t.keys[id]
	onlyState := before
	onlyState.state = k.state
	switch {
	case known && before == k:
		return t.change(missingSession(id), updateSessionValues, append(row, int64(id))...)
	case known && onlyState == k:
		return t.change(missingSession(id), updateSessionState, append(append([]any{string(k.state)}, row...), int64(id))...)
	}
	return t.change(missingSession(id), updateSession, append(k.args(row...), int64(id))...)
}

func (t *sessionTable) DeleteSession(id sessions.SessionID) error {
	return t.change(missingSession(id), "DELETE FROM sessions WHERE id = ?", int64(id))
}

// values are created_at and those of SessionColumns. It refuses what the columns cannot
// hold.
func values(s *sessions.Session) (created any, row []any, err error) {
	if s.Type > sessions.TimeOrData {
		return nil, nil, sessions.Invalidf("type", "%d is not a type of session", s.Type)
	}
	states := []sessions.State{sessions.Available, sessions.Running, sessions.Paused, sessions.Consumed, sessions.Expired}
	if !slices.Contains(states, s.State) {
		return nil, nil, sessions.Invalidf("state", "%q is not a state of a session", s.State)
	}
	var c checker
	c.wall("ended_at", s.Ended)
	created = c.wall("created_at", s.Created)
	row = []any{
		s.Provider, int64(s.Type),
		c.duration("time", s.Time), c.duration("time_used", s.TimeUsed),
		c.amount("data_bytes", s.Bytes), c.amount("data_used_bytes", s.Used),
		c.amount("down_bps", s.DownBPS), c.amount("up_bps", s.UpBPS),
		s.UseGlobalSpeed, c.days("exp_days", s.ExpDays),
		c.wall("started_at", s.Started),
		s.Token, s.Unsaved,
		// Whatever the kernel's 64 bits are, they come back the same.
		int64(s.Meter.Epoch), int64(s.Meter.Spent), int64(s.Meter.Drops),
		s.Meter.Boot, int64(s.Meter.At), s.Meter.Low,
		int64(s.Tag), s.Reference,
	}
	return created, row, c.err
}

// ScanSession reads id, keys, created_at and the columns.
func ScanSession(row *conn.Row) (sessions.Session, error) {
	s, _, err := scanSession(row)
	return s, err
}

func scanSession(row *conn.Row) (s sessions.Session, k sessionKeys, err error) {
	var kind, tag uint64
	var at, days *int64
	err = row.Scan((*int64)(&s.ID), (*int64)(&s.Device), (*string)(&s.State), &at, &s.Ended, &s.Created,
		&s.Provider, &kind, (*int64)(&s.Time), (*int64)(&s.TimeUsed), &s.Bytes, &s.Used,
		&s.DownBPS, &s.UpBPS, &s.UseGlobalSpeed, &days, &s.Started, &s.Token, &s.Unsaved,
		&s.Meter.Epoch, &s.Meter.Spent, &s.Meter.Drops, &s.Meter.Boot, (*int64)(&s.Meter.At), &s.Meter.Low, &tag, &s.Reference)
	s.Tag = uint32(tag)
	s.Type = sessions.Type(min(kind, math.MaxUint8)) // a number that is no type stays one that is none
	k = sessionKeys{device: s.Device, state: s.State}
	if at != nil {
		k.expires = *at
	}
	if !s.Ended.IsZero() {
		k.ended = s.Ended.UnixNano()
	}
	if days != nil {
		s.ExpDays = new(uint(min(uint64(*days), math.MaxUint)))
	}
	return s, k, err
}

func missingSession(id sessions.SessionID) func() error {
	return func() error { return sessions.Errorf(sessions.NotFound, "session %d does not exist", id) }
}

// refused says which of the constraints a session violates.
func (t *sessionTable) refused(s *sessions.Session, err error) error {
	switch {
	case violates(err, sqlite3.ErrConstraintForeignKey):
		return noDevice(s.Device)
	case s.Reference != "" && violates(err, sqlite3.ErrConstraintUnique):
		if other, _ := t.Sessions(sessions.SessionFilter{Reference: s.Reference}); len(other) == 1 {
			return sessions.TakenReference(s.Reference, other[0].ID)
		}
	}
	return err
}
