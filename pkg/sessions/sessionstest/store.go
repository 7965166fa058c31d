// SPDX-License-Identifier: Apache-2.0

package sessionstest

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Store is a [sessions.Store] in memory. A transaction works on a copy of
// everything, which makes it simple, and slow for many rows.
type Store struct {
	current atomic.Pointer[tables] // never changed once stored here
	turn    chan struct{}          // held by the one that updates
	hook    atomic.Pointer[func() error]

	mu         sync.Mutex
	disk       *tables // what Sync made durable
	checkpoint sessions.Checkpoint
}

type tables struct {
	devices                 map[sessions.DeviceID]sessions.Device
	sessions                map[sessions.SessionID]sessions.Session
	claims                  map[sessions.ClaimHash]sessions.SessionID
	events                  []sessions.Event
	providers               []sessions.ProviderRecord
	generations             []generation
	answers                 map[[sha256.Size]byte]sessions.Answer
	lastDevice, lastSession int64
}

// NewStore returns an empty store.
func NewStore() *Store {
	s := &Store{turn: make(chan struct{}, 1), disk: &tables{
		devices:  make(map[sessions.DeviceID]sessions.Device),
		sessions: make(map[sessions.SessionID]sessions.Session),
		claims:   make(map[sessions.ClaimHash]sessions.SessionID),
		answers:  make(map[[sha256.Size]byte]sessions.Answer),
	}}
	s.disk.beginGeneration()
	s.current.Store(s.disk)
	return s
}

// Copy returns a Store of what is stored now, as an agent finds it that opens a copy of the
// database.
func (s *Store) Copy() *Store {
	c := NewStore()
	c.disk = s.current.Load().clone()
	c.disk.beginGeneration()
	c.current.Store(c.disk)
	return c
}

// BeforeCommit has fn called before every commit; its error fails the Update, as a
// full disk does. nil ends it.
func (s *Store) BeforeCommit(fn func() error) {
	if fn == nil {
		s.hook.Store(nil)
		return
	}
	s.hook.Store(&fn)
}

// PowerCut undoes what was committed and not synced.
func (s *Store) PowerCut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(s.disk)
}

// View runs fn on what is stored now.
func (s *Store) View(ctx context.Context, fn func(sessions.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(&tx{ctx: ctx, tables: s.current.Load(), readOnly: true})
}

// Snapshot is View.
func (s *Store) Snapshot(ctx context.Context, fn func(sessions.Tx) error) error {
	return s.View(ctx, fn)
}

// Update is Commit and Sync.
func (s *Store) Update(ctx context.Context, fn func(sessions.Tx) error) error {
	if err := s.Commit(ctx, fn); err != nil {
		return err
	}
	return s.Sync()
}

// Sync makes what was committed outlive a PowerCut.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk = s.current.Load()
	return nil
}

// PutCheckpoint keeps the checkpoint; BeforeCommit's function may refuse.
func (s *Store) PutCheckpoint(k sessions.Checkpoint) error {
	if hook := s.hook.Load(); hook != nil {
		if err := (*hook)(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k.Spent = slices.Clone(k.Spent)
	s.checkpoint = k
	return nil
}

// Checkpoint returns the last checkpoint.
func (s *Store) Checkpoint() (sessions.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkpoint, nil
}

// Commit runs fn, one at a time, and keeps what it did if it returns nil.
func (s *Store) Commit(ctx context.Context, fn func(sessions.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	work := s.current.Load().clone()
	if err := fn(&tx{ctx: ctx, tables: work}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if hook := s.hook.Load(); hook != nil {
		if err := (*hook)(); err != nil {
			return err
		}
	}
	s.current.Store(work)
	return nil
}

func (t *tables) clone() *tables {
	c := *t
	c.devices, c.sessions = maps.Clone(t.devices), maps.Clone(t.sessions)
	c.claims, c.answers = maps.Clone(t.claims), maps.Clone(t.answers)
	c.events, c.providers = slices.Clip(t.events), slices.Clone(t.providers)
	return &c
}

// tx is one transaction.
type tx struct {
	ctx context.Context
	*tables
	readOnly bool
}

var errReadOnly = errors.New("a View cannot write")

func (t *tx) writable() error {
	if t.readOnly {
		return errReadOnly
	}
	return t.ctx.Err()
}

func missing(format string, args ...any) error {
	return sessions.Errorf(sessions.NotFound, format, args...)
}

func (t *tables) Device(id sessions.DeviceID) (sessions.Device, error) {
	d, ok := t.devices[id]
	if !ok {
		return d, missing("there is no device %d", id)
	}
	d.IPs = slices.Clone(d.IPs)
	return d, nil
}

func (t *tx) DeviceByMAC(mac dataplane.MAC) (sessions.Device, error) {
	for id, d := range t.devices {
		if d.MAC == mac {
			return t.Device(id)
		}
	}
	return sessions.Device{}, missing("there is no device %s", mac)
}

func (t *tx) DeviceByIP(ip netip.Addr) (sessions.Device, error) {
	for id, d := range t.devices {
		if slices.Contains(d.IPs, ip) {
			return t.Device(id)
		}
	}
	return sessions.Device{}, missing("no device has the address %s", ip)
}

func (t *tables) Devices(f sessions.DeviceFilter) ([]sessions.Device, error) {
	var list []sessions.Device
	for _, id := range inOrder(t.devices, f.Newest) {
		d, _ := t.Device(id)
		if t.selects(f, d) && (f.Limit == 0 || len(list) < f.Limit) {
			list = append(list, d)
		}
	}
	return list, nil
}

// inOrder returns the keys of a map by number.
func inOrder[K ~int64, V any](all map[K]V, newest bool) []K {
	ids := slices.Sorted(maps.Keys(all))
	if newest {
		slices.Reverse(ids)
	}
	return ids
}

// behind reports whether an id comes after another one in a list; 0 is before all.
func behind[K ~int64](id, after K, newest bool) bool {
	return after == 0 || newest && id < after || !newest && id > after
}

func (t *tables) selects(f sessions.DeviceFilter, d sessions.Device) bool {
	if !behind(d.ID, f.After, f.Newest) || d.Created.Before(f.Since) || !matches(d, f.Query) {
		return false
	}
	seen := d.Seen
	if seen.IsZero() {
		seen = d.Created
	}
	return f.Idle.IsZero() || !seen.IsZero() && seen.Before(f.Idle) && !t.hasSessions(d.ID)
}

func (t *tables) hasSessions(id sessions.DeviceID) bool {
	for _, s := range t.sessions {
		if s.Device == id {
			return true
		}
	}
	return false
}

func matches(d sessions.Device, query string) bool {
	texts := []string{d.MAC.String(), d.Hostname}
	for _, ip := range d.IPs {
		texts = append(texts, ip.String())
	}
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(query))
	})
}

func (t *tables) CountDevices() (int, error) { return len(t.devices), nil }

func (t *tx) PutDevice(d *sessions.Device) error {
	if err := t.writable(); err != nil {
		return err
	}
	if other, err := t.DeviceByMAC(d.MAC); err == nil && other.ID != d.ID {
		return sessions.Errorf(sessions.Conflict, "%s is device %d", d.MAC, other.ID)
	}
	if d.ID == 0 {
		t.lastDevice++
		d.ID = sessions.DeviceID(t.lastDevice)
	} else if _, err := t.Device(d.ID); err != nil {
		return err
	}
	for _, ip := range d.IPs {
		t.releaseIP(ip, d.ID)
	}
	kept := *d
	kept.IPs, kept.Visitor = slices.Clone(d.IPs), false
	t.devices[d.ID] = kept
	return nil
}

func (t *tx) ReserveDevices(n int) (sessions.DeviceID, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	first := t.lastDevice + 1
	t.lastDevice += int64(n)
	return sessions.DeviceID(first), nil
}

func (t *tx) InsertDevice(d sessions.Device) error {
	if err := t.writable(); err != nil {
		return err
	}
	if _, taken := t.devices[d.ID]; taken {
		return sessions.Errorf(sessions.Conflict, "there is a device %d", d.ID)
	}
	t.devices[d.ID] = sessions.Device{ID: d.ID}
	t.lastDevice = max(t.lastDevice, int64(d.ID))
	return t.PutDevice(&d)
}

func (t *tx) DeleteDevice(id sessions.DeviceID) error {
	if err := t.writable(); err != nil {
		return err
	}
	if _, err := t.Device(id); err != nil {
		return err
	}
	if t.hasSessions(id) {
		return sessions.Errorf(sessions.Conflict, "device %d has sessions", id)
	}
	delete(t.devices, id)
	return nil
}

// releaseIP takes an address from a device that is not its owner.
func (t *tx) releaseIP(ip netip.Addr, owner sessions.DeviceID) {
	d, err := t.DeviceByIP(ip)
	if err != nil || d.ID == owner {
		return
	}
	d.IPs = slices.DeleteFunc(d.IPs, func(a netip.Addr) bool { return a == ip })
	t.devices[d.ID] = d
}

func (t *tables) Session(id sessions.SessionID) (sessions.Session, error) {
	s, ok := t.sessions[id]
	if !ok {
		return s, missing("there is no session %d", id)
	}
	return own(s), nil
}

func (t *tables) Sessions(f sessions.SessionFilter) ([]sessions.Session, error) {
	var list []sessions.Session
	for _, id := range inOrder(t.sessions, f.Newest) {
		s := t.sessions[id]
		if selects(f, s) && matches(t.devices[s.Device], f.Query) {
			list = append(list, own(s))
		}
	}
	if f.Limit > 0 {
		list = list[:min(len(list), f.Limit)]
	}
	return list, nil
}

func selects(f sessions.SessionFilter, s sessions.Session) bool {
	return (f.Device == 0 || f.Device == s.Device) && (len(f.States) == 0 || slices.Contains(f.States, s.State)) &&
		(!f.Unsaved || s.Unsaved) && (f.Reference == "" || f.Reference == s.Reference) && behind(s.ID, f.After, f.Newest) && !s.Created.Before(f.Since)
}

func (t *tables) EndedBefore(at time.Time, limit int) ([]sessions.Session, error) {
	list, err := t.Sessions(sessions.SessionFilter{States: []sessions.State{sessions.Consumed, sessions.Expired}})
	list = slices.DeleteFunc(list, func(s sessions.Session) bool { return s.Unsaved || s.Ended.IsZero() || !s.Ended.Before(at) })
	slices.SortStableFunc(list, func(a, b sessions.Session) int { return a.Ended.Compare(b.Ended) })
	return list[:min(len(list), limit)], err
}

func (t *tables) Sold(at time.Time) (bool, error) {
	for _, s := range t.sessions {
		if s.Provider == sessions.LocalProvider && s.Created.Equal(at) {
			return true, nil
		}
	}
	return false, nil
}

func (t *tx) PastExpiry(now time.Time, limit int) ([]sessions.Session, error) {
	list, err := t.Sessions(sessions.SessionFilter{States: []sessions.State{sessions.Available, sessions.Paused}})
	list = slices.DeleteFunc(list, func(s sessions.Session) bool {
		at, ok := s.Expires()
		return !ok || now.Before(at)
	})
	slices.SortStableFunc(list, func(a, b sessions.Session) int {
		first, _ := a.Expires()
		second, _ := b.Expires()
		return first.Compare(second)
	})
	return list[:min(len(list), limit)], err
}

func (t *tx) RunningOf(devices []sessions.DeviceID) ([]sessions.Session, error) {
	running, err := t.Sessions(sessions.SessionFilter{States: []sessions.State{sessions.Running}})
	return slices.DeleteFunc(running, func(s sessions.Session) bool { return !slices.Contains(devices, s.Device) }), err
}

func (t *tx) RunningDevices() ([]sessions.DeviceID, error) {
	var ids []sessions.DeviceID
	for _, s := range t.sessions {
		if s.State == sessions.Running {
			ids = append(ids, s.Device)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// own gives a session its own copy of what it points to.
func own(s sessions.Session) sessions.Session {
	if s.ExpDays != nil {
		days := *s.ExpDays
		s.ExpDays = &days
	}
	return s
}

func (t *tx) CountSessions() (map[sessions.State]int, error) {
	counts := make(map[sessions.State]int)
	for _, s := range t.sessions {
		counts[s.State]++
	}
	return counts, nil
}

func (t *tx) PutSession(s *sessions.Session) error {
	if err := t.writable(); err != nil {
		return err
	}
	if err := storable(*s); err != nil {
		return err
	}
	if _, err := t.Device(s.Device); err != nil {
		return err
	}
	if other, _ := t.Sessions(sessions.SessionFilter{Reference: s.Reference}); s.Reference != "" && len(other) > 0 && other[0].ID != s.ID {
		return sessions.TakenReference(s.Reference, other[0].ID)
	}
	if s.ID == 0 {
		t.lastSession++
		s.ID, s.Tag = sessions.SessionID(t.lastSession), t.generations[len(t.generations)-1].Tag()
	} else if _, err := t.Session(s.ID); err != nil {
		return err
	}
	t.sessions[s.ID] = own(*s)
	return nil
}

func storable(s sessions.Session) error {
	states := []sessions.State{sessions.Available, sessions.Running, sessions.Paused, sessions.Consumed, sessions.Expired}
	lastYear := time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case s.Bytes > math.MaxInt64 || s.Used > math.MaxInt64 || s.DownBPS > math.MaxInt64 || s.UpBPS > math.MaxInt64:
		return sessions.Invalidf("session", "an amount is over 63 bits")
	case s.Time < 0 || s.TimeUsed < 0:
		return sessions.Invalidf("session", "a time is negative")
	case s.Type > sessions.TimeOrData:
		return sessions.Invalidf("type", "%d is not a type", s.Type)
	case !slices.Contains(states, s.State):
		return sessions.Invalidf("state", "%q is not a state", s.State)
	case s.Started.After(lastYear) || s.Created.After(lastYear) || s.Ended.After(lastYear):
		return sessions.Invalidf("started", "is too far away")
	}
	return nil
}

func (t *tx) DeleteSession(id sessions.SessionID) error {
	if err := t.writable(); err != nil {
		return err
	}
	if _, err := t.Session(id); err != nil {
		return err
	}
	delete(t.sessions, id)
	maps.DeleteFunc(t.claims, func(_ sessions.ClaimHash, of sessions.SessionID) bool { return of == id })
	return nil
}

func (t *tx) PutClaim(hash sessions.ClaimHash, id sessions.SessionID) error {
	if err := t.writable(); err != nil {
		return err
	}
	if holder, taken := t.claims[hash]; taken && holder != id {
		return sessions.Errorf(sessions.Conflict, "claim_hash: the code is that of session %d already", holder)
	}
	maps.DeleteFunc(t.claims, func(_ sessions.ClaimHash, of sessions.SessionID) bool { return of == id })
	t.claims[hash] = id
	return nil
}

func (t *tx) Claim(hash sessions.ClaimHash) (sessions.SessionID, error) {
	id, ok := t.claims[hash]
	if !ok {
		return 0, missing("no purchase has this code")
	}
	return id, nil
}

func (t *tx) ClaimOf(id sessions.SessionID) (sessions.ClaimHash, error) {
	for hash, of := range t.claims {
		if of == id {
			return hash, nil
		}
	}
	return sessions.ClaimHash{}, missing("session %d has no claim code", id)
}

func (t *tx) DeleteClaim(id sessions.SessionID) error {
	if err := t.writable(); err != nil {
		return err
	}
	before := len(t.claims)
	maps.DeleteFunc(t.claims, func(_ sessions.ClaimHash, of sessions.SessionID) bool { return of == id })
	if len(t.claims) == before {
		return missing("session %d has no claim code", id)
	}
	return nil
}

func (t *tx) AppendEvent(e *sessions.Event) error {
	if err := t.writable(); err != nil {
		return err
	}
	e.Seq = int64(len(t.events)) + 1
	t.events = append(t.events, *e)
	return nil
}

func (t *tx) Events(after int64, limit int) ([]sessions.Event, error) {
	rest := t.events[min(max(after, 0), int64(len(t.events))):]
	if limit > 0 {
		rest = rest[:min(limit, len(rest))]
	}
	return slices.Clone(rest), nil
}

func (t *tables) EventRange() (first, last int64, err error) {
	last = int64(len(t.events))
	return min(1, last), last, nil
}

// generation is one that the store had.
type generation struct {
	sessions.Generation
	last int64 // event, unless it is the latest
}

func (t *tables) Generation() (sessions.Generation, error) {
	return t.generations[len(t.generations)-1].Generation, nil
}

func (t *tables) LastEventOf(g sessions.Generation) (int64, error) {
	at := slices.IndexFunc(t.generations, func(own generation) bool { return own.Generation == g })
	switch {
	case at < 0:
		return 0, missing("there is no generation %s", g)
	case at == len(t.generations)-1:
		return int64(len(t.events)), nil
	}
	return t.generations[at].last, nil
}

// beginGeneration is what opening a database does.
func (t *tables) beginGeneration() {
	if n := len(t.generations); n > 0 {
		t.generations[n-1].last = int64(len(t.events))
	}
	t.generations = append(slices.Clip(t.generations), generation{Generation: sessions.Generation(rand.Uint64())})
}

func (t *tables) Answer(key [sha256.Size]byte) (sessions.Answer, error) {
	a, ok := t.answers[key]
	if !ok {
		return a, missing("nothing was answered to this key")
	}
	return a, nil
}

func (t *tx) PutAnswer(a sessions.Answer) error {
	if err := t.writable(); err != nil {
		return err
	}
	t.answers[a.Key] = a
	return nil
}

func (t *tx) place(name string) int {
	return slices.IndexFunc(t.providers, func(r sessions.ProviderRecord) bool { return r.Name == name })
}

func (t *tx) Provider(name string) (sessions.ProviderRecord, error) {
	at := t.place(name)
	if at < 0 {
		return sessions.ProviderRecord{}, missing("there is no provider %q", name)
	}
	return t.providers[at], nil
}

func (t *tx) Providers() ([]sessions.ProviderRecord, error) { return slices.Clone(t.providers), nil }

func (t *tx) PutProvider(r sessions.ProviderRecord) error {
	if err := t.writable(); err != nil {
		return err
	}
	if at := t.place(r.Name); at >= 0 {
		t.providers[at] = r
	} else {
		t.providers = append(t.providers, r)
	}
	return nil
}

func (t *tx) DeleteProvider(name string) error {
	if err := t.writable(); err != nil {
		return err
	}
	at := t.place(name)
	if at < 0 {
		return missing("there is no provider %q", name)
	}
	t.providers = slices.Delete(t.providers, at, at+1)
	return nil
}
