// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func testDevices(t *testing.T, s sessions.Store) {
	d := sessions.Device{
		MAC:      mac(1),
		IPs:      []netip.Addr{netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("10.0.0.7")},
		Hostname: `o'brien "phone" ☕`, Created: noon, Seen: noon.Add(time.Hour), Bound: netip.MustParseAddr("10.0.0.7"),
	}
	update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(&d) })
	if d.ID < 1 {
		t.Fatalf("PutDevice set the id %d", d.ID)
	}
	second := addDevice(t, s, 2)

	d.MAC, d.IPs, d.Hostname = mac(3), nil, ""
	update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(&d) })

	view(t, s, func(tx sessions.Tx) error {
		byID, err := tx.Device(d.ID)
		must(t, err)
		same(t, "Device", byID, d)
		byMAC, err := tx.DeviceByMAC(mac(3))
		must(t, err)
		same(t, "DeviceByMAC", byMAC, d)
		_, err = tx.DeviceByMAC(mac(1))
		wantCode(t, "the MAC it had", err, sessions.NotFound)
		all, err := tx.Devices(sessions.DeviceFilter{})
		must(t, err)
		same(t, "Devices", all, []sessions.Device{d, second})
		return nil
	})
}

func testMACConflict(t *testing.T, s sessions.Store) {
	first, second := addDevice(t, s, 1), addDevice(t, s, 2)

	third := sessions.Device{MAC: first.MAC}
	err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&third) })
	wantCode(t, "a new device with a taken MAC", err, sessions.Conflict)
	if third.ID != 0 {
		t.Errorf("the refused device got the id %d", third.ID)
	}
	moved := second
	moved.MAC = first.MAC
	err = s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&moved) })
	wantCode(t, "a device moved to a taken MAC", err, sessions.Conflict)

	view(t, s, func(tx sessions.Tx) error {
		all, err := tx.Devices(sessions.DeviceFilter{})
		must(t, err)
		same(t, "Devices", all, []sessions.Device{first, second})
		return nil
	})
}

// testDeleteDevice: a device goes with its addresses, its id is not given again, and one
// with sessions stays.
func testDeleteDevice(t *testing.T, s sessions.Store) {
	buyer, visitor := addDevice(t, s, 1), addDevice(t, s, 2)
	addSession(t, s, purchase(buyer.ID))
	ip := netip.MustParseAddr("10.0.0.9")
	visitor.IPs = []netip.Addr{ip}
	update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(&visitor) })
	err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.DeleteDevice(buyer.ID) })
	wantCode(t, "a device with a session", err, sessions.Conflict)
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteDevice(visitor.ID) })
	view(t, s, func(tx sessions.Tx) error {
		_, err := tx.DeviceByIP(ip)
		wantCode(t, "the address of a deleted device", err, sessions.NotFound)
		all, err := tx.Devices(sessions.DeviceFilter{})
		must(t, err)
		same(t, "Devices", all, []sessions.Device{buyer})
		return nil
	})
	if next := addDevice(t, s, 3); next.ID <= visitor.ID {
		t.Errorf("the next device has the id %d", next.ID)
	}
}

// testAddresses: the latest comes first, in whatever order they came and went.
func testAddresses(t *testing.T, s sessions.Store) {
	first, second := addDevice(t, s, 1), addDevice(t, s, 2)
	addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
	list := func(numbers []byte) (ips []netip.Addr) {
		for _, n := range numbers {
			ips = append(ips, addr(n))
		}
		return ips
	}
	steps := []struct {
		device        *sessions.Device
		put           []byte
		first, second []byte // what they have then
	}{
		{&first, []byte{1}, []byte{1}, nil},
		{&first, []byte{2, 1}, []byte{2, 1}, nil},
		{&first, []byte{3, 2, 1}, []byte{3, 2, 1}, nil},
		{&first, []byte{3, 2, 1}, []byte{3, 2, 1}, nil}, // again
		{&first, []byte{1, 3, 2}, []byte{1, 3, 2}, nil}, // the oldest is back
		{&second, []byte{3}, []byte{1, 2}, []byte{3}},   // taken
		{&second, []byte{2, 3, 4}, []byte{1}, []byte{2, 3, 4}},
		{&second, []byte{4, 3, 2}, []byte{1}, []byte{4, 3, 2}},
		{&second, []byte{4, 2}, []byte{1}, []byte{4, 2}}, // one is forgotten
		{&first, []byte{3, 1}, []byte{3, 1}, []byte{4, 2}},
		{&first, nil, nil, []byte{4, 2}},
		{&first, []byte{4, 2, 5}, []byte{4, 2, 5}, nil},
	}
	for i, step := range steps {
		step.device.IPs = list(step.put)
		update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(step.device) })
		first.IPs, second.IPs = list(step.first), list(step.second)
		wantAddresses(t, s, fmt.Sprintf("step %d", i+1), first, second)
	}
}

// wantAddresses finds all devices by each of their addresses.
func wantAddresses(tb testing.TB, s sessions.Store, what string, want ...sessions.Device) {
	tb.Helper()
	view(tb, s, func(tx sessions.Tx) error {
		all, err := tx.Devices(sessions.DeviceFilter{})
		same(tb, what, all, want)
		for _, d := range want {
			for _, ip := range d.IPs {
				byIP, err := tx.DeviceByIP(ip)
				must(tb, err)
				same(tb, what+": the device with "+ip.String(), byIP, d)
			}
		}
		_, missing := tx.DeviceByIP(netip.MustParseAddr("10.0.0.99"))
		wantCode(tb, what+": an unknown address", missing, sessions.NotFound)
		return err
	})
}

func testSessions(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	first := addSession(t, s, purchase(d.ID))
	second := addSession(t, s, purchase(d.ID))
	if first.ID < 1 || second.ID <= first.ID {
		t.Fatalf("ids %d, %d: want them to start at 1 and grow", first.ID, second.ID)
	}
	first.State, first.Started, first.Used = sessions.Running, noon.Add(time.Minute), 1500
	update(t, s, func(tx sessions.Tx) error { return tx.PutSession(&first) })
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.Session(first.ID)
		must(t, err)
		same(t, "Session", got, first)
		all, err := tx.Sessions(sessions.SessionFilter{})
		must(t, err)
		same(t, "Sessions", all, []sessions.Session{first, second})
		return nil
	})
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteSession(first.ID) })
	view(t, s, func(tx sessions.Tx) error {
		_, err := tx.Session(first.ID)
		wantCode(t, "the deleted session", err, sessions.NotFound)
		_, err = tx.Session(second.ID)
		return err
	})
}

func testSessionFilter(t *testing.T, s sessions.Store) {
	devices := []sessions.Device{addDevice(t, s, 1), addDevice(t, s, 2)}
	states := []sessions.State{sessions.Consumed, sessions.Available, sessions.Running, sessions.Paused, sessions.Expired}
	var all []sessions.Session
	for _, state := range states {
		for _, d := range devices {
			p := purchase(d.ID)
			p.State, p.Unsaved = state, state == sessions.Paused || d.ID == devices[0].ID
			all = append(all, addSession(t, s, p))
		}
	}
	filters := map[string]sessions.SessionFilter{
		"all":              {},
		"of a device":      {Device: devices[1].ID},
		"in a state":       {States: []sessions.State{sessions.Running}},
		"in two states":    {States: []sessions.State{sessions.Paused, sessions.Available}},
		"a state twice":    {States: []sessions.State{sessions.Paused, sessions.Paused}},
		"device and state": {Device: devices[0].ID, States: []sessions.State{sessions.Paused, sessions.Running}},
		"unknown device":   {Device: 99},
		"unsaved":          {Unsaved: true},
		"unsaved, a page":  {Unsaved: true, After: all[0].ID, Limit: 2},
		"unsaved, paused":  {Unsaved: true, States: []sessions.State{sessions.Paused}},
		"after one":        {After: all[3].ID},
		"after the last":   {After: all[len(all)-1].ID},
		"a page":           {After: all[1].ID, Limit: 4},
		"more than all":    {Limit: 99},
		"page of a device": {Device: devices[1].ID, After: all[2].ID, Limit: 2},
	}
	for name, filter := range filters {
		var want []sessions.Session
		for _, session := range all {
			if matches(filter, session) && (filter.Limit == 0 || len(want) < filter.Limit) {
				want = append(want, session)
			}
		}
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.Sessions(filter)
			same(t, name, got, want)
			return err
		})
	}
}

// testRunning asks for what runs, of some devices and at all.
func testRunning(t *testing.T, s sessions.Store) {
	var all []sessions.Session
	var running []sessions.DeviceID
	for i, state := range []sessions.State{sessions.Running, sessions.Paused, sessions.Running, sessions.Running} {
		d := addDevice(t, s, byte(i+1))
		rest, p := purchase(d.ID), purchase(d.ID)
		rest.State, p.State = sessions.Consumed, state
		addSession(t, s, rest)
		all = append(all, addSession(t, s, p))
		if state == sessions.Running {
			running = append(running, d.ID)
		}
	}
	view(t, s, func(tx sessions.Tx) error {
		ids, err := tx.RunningDevices()
		same(t, "devices", ids, running)
		return err
	})
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.RunningOf([]sessions.DeviceID{all[3].Device, 99, all[1].Device, all[0].Device})
		same(t, "what they run", got, []sessions.Session{all[0], all[3]})
		return err
	})
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.RunningOf(nil)
		if len(got) > 0 {
			t.Errorf("no devices run %v", got)
		}
		return err
	})
}

// testPastExpiry changes in turn all that an expiry depends on.
func testPastExpiry(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	day, week := uint(1), uint(7)
	put := func(state sessions.State, days *uint, started time.Time) sessions.Session {
		p := purchase(d.ID)
		p.State, p.ExpDays, p.Started = state, days, started
		return addSession(t, s, p)
	}
	late := put(sessions.Paused, &day, noon.Add(time.Hour))
	early := put(sessions.Available, &day, noon)
	weekly := put(sessions.Paused, &week, noon)
	running := put(sessions.Running, &day, noon)
	put(sessions.Consumed, &day, noon)
	put(sessions.Expired, &day, noon)
	put(sessions.Paused, nil, noon)
	put(sessions.Available, &day, time.Time{})
	put(sessions.Paused, &day, time.Unix(77, 0)) // by a clock that was not set
	expect := func(what string, now time.Time, limit int, want ...sessions.Session) {
		t.Helper()
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.PastExpiry(now, limit)
			same(t, what, got, want)
			return err
		})
	}
	tomorrow := noon.Add(24 * time.Hour)
	expect("just before", tomorrow.Add(-1), 9)
	expect("at its end", tomorrow, 9, early)
	expect("both", tomorrow.Add(time.Hour), 9, early, late)
	expect("the first", tomorrow.Add(time.Hour), 1, early)
	expect("all", noon.AddDate(1, 0, 0), 9, early, late, weekly)
	expect("no time at all", time.Time{}, 9)

	running.State, early.State, weekly.ExpDays = sessions.Paused, sessions.Expired, &day
	for _, p := range []*sessions.Session{&running, &early, &weekly} {
		update(t, s, func(tx sessions.Tx) error {
			_, err := tx.Session(p.ID)
			must(t, err)
			return tx.PutSession(p)
		})
	}
	expect("after a change of each", tomorrow, 9, weekly, running)
}

func matches(f sessions.SessionFilter, s sessions.Session) bool {
	if f.Device != 0 && f.Device != s.Device || f.Unsaved && !s.Unsaved || s.ID <= f.After {
		return false
	}
	for _, state := range f.States {
		if state == s.State {
			return true
		}
	}
	return len(f.States) == 0
}

// testSessionValues stores the ends of each field's range.
func testSessionValues(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	zero, month := uint(0), uint(30)
	full := sessions.Session{
		Device: d.ID, Provider: "shop", Type: sessions.Data, State: sessions.Expired,
		Time: math.MaxInt64, TimeUsed: math.MaxInt64, Bytes: math.MaxInt64, Used: math.MaxInt64,
		DownBPS: math.MaxInt64, UpBPS: math.MaxInt64, UseGlobalSpeed: true,
		ExpDays: &month, Started: noon.Add(-time.Nanosecond), Created: time.Unix(0, 0), Ended: noon,
		Reference: strings.Repeat("é", 128), Tag: math.MaxUint32,
		Token: "voucher/7", Unsaved: true,
		Meter: sessions.Baseline{
			Epoch: math.MaxUint64, Spent: math.MaxUint64, Drops: math.MaxUint64, Boot: "3e8a", At: dataplane.Boottime(math.MaxInt64), Low: true,
		},
	}
	wantAllSet(t, reflect.ValueOf(full))
	sameDay := purchase(d.ID)
	sameDay.ExpDays = &zero
	for name, want := range map[string]sessions.Session{
		"largest":        full,
		"smallest":       {Device: d.ID, State: sessions.Available},
		"expires at day": sameDay,
	} {
		want = addSession(t, s, want)
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.Session(want.ID)
			same(t, name, got, want)
			return err
		})
		update(t, s, func(tx sessions.Tx) error { return tx.PutSession(&want) })
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.Session(want.ID)
			same(t, name+", stored again", got, want)
			return err
		})
	}
}

// wantAllSet fails for a field that was added to the type and not to the test: a
// Store may have forgotten it too. Fields named ID are the store's to set.
func wantAllSet(tb testing.TB, v reflect.Value) {
	tb.Helper()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case field.Type == reflect.TypeFor[sessions.Baseline]():
			wantAllSet(tb, v.Field(i))
		case field.Name != "ID" && v.Field(i).IsZero():
			tb.Errorf("testSessionValues stores no %s.%s", v.Type(), field.Name)
		}
	}
}

func testSessionRefusals(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	stored := addSession(t, s, purchase(d.ID))
	cases := []struct {
		name string
		code sessions.Code
		edit func(*sessions.Session)
	}{
		{"bytes over 63 bits", sessions.Invalid, func(s *sessions.Session) { s.Bytes = math.MaxInt64 + 1 }},
		{"used over 63 bits", sessions.Invalid, func(s *sessions.Session) { s.Used = math.MaxUint64 }},
		{"down over 63 bits", sessions.Invalid, func(s *sessions.Session) { s.DownBPS = math.MaxUint64 }},
		{"up over 63 bits", sessions.Invalid, func(s *sessions.Session) { s.UpBPS = math.MaxUint64 }},
		{"negative time", sessions.Invalid, func(s *sessions.Session) { s.Time = -1 }},
		{"negative used time", sessions.Invalid, func(s *sessions.Session) { s.TimeUsed = -1 }},
		{"unknown type", sessions.Invalid, func(s *sessions.Session) { s.Type = 3 }},
		{"unknown state", sessions.Invalid, func(s *sessions.Session) { s.State = "lost" }},
		{"no state", sessions.Invalid, func(s *sessions.Session) { s.State = "" }},
		{"started too far away", sessions.Invalid, func(s *sessions.Session) { s.Started = time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"unknown device", sessions.NotFound, func(s *sessions.Session) { s.Device = 99 }},
	}
	for _, c := range cases {
		fresh, changed := purchase(d.ID), stored
		for _, session := range []*sessions.Session{&fresh, &changed} {
			c.edit(session)
			err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutSession(session) })
			wantCode(t, c.name, err, c.code)
		}
	}
	view(t, s, func(tx sessions.Tx) error {
		all, err := tx.Sessions(sessions.SessionFilter{})
		same(t, "Sessions after the refusals", all, []sessions.Session{stored})
		return err
	})
}

// testIDs: a session names a kernel counter, so the number of a deleted one must
// not come again.
func testIDs(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	last := sessions.SessionID(0)
	for range 3 {
		session := addSession(t, s, purchase(d.ID))
		if session.ID <= last {
			t.Fatalf("session id %d after %d was deleted", session.ID, last)
		}
		last = session.ID
		update(t, s, func(tx sessions.Tx) error { return tx.DeleteSession(session.ID) })
	}
}

func testProviders(t *testing.T, s sessions.Store) {
	shop := sessions.ProviderRecord{Name: "shop", Socket: "/run/shop.sock"}
	cafe := sessions.ProviderRecord{Name: "cafe", Socket: "/run/cafe.sock"}
	for _, p := range []sessions.ProviderRecord{shop, cafe} {
		update(t, s, func(tx sessions.Tx) error { return tx.PutProvider(p) })
	}
	shop.Socket = "/run/shop2.sock"
	update(t, s, func(tx sessions.Tx) error { return tx.PutProvider(shop) })
	list := func(want ...sessions.ProviderRecord) {
		t.Helper()
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.Providers()
			same(t, "Providers", got, want)
			return err
		})
	}
	list(shop, cafe)
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.Provider("shop")
		same(t, "Provider", got, shop)
		return err
	})
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteProvider("shop") })
	list(cafe)
	update(t, s, func(tx sessions.Tx) error { return tx.PutProvider(shop) })
	list(cafe, shop) // registered anew: last
}

func testCounts(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	addDevice(t, s, 2)
	for _, state := range []sessions.State{sessions.Running, sessions.Paused, sessions.Paused} {
		p := purchase(d.ID)
		p.State = state
		addSession(t, s, p)
	}
	view(t, s, func(tx sessions.Tx) error {
		devices, err := tx.CountDevices()
		must(t, err)
		same(t, "CountDevices", devices, 2)
		counts, err := tx.CountSessions()
		same(t, "CountSessions", counts, map[sessions.State]int{sessions.Running: 1, sessions.Paused: 2})
		return err
	})
}

// A session whose state or device changes is found by what it is now, whatever the same
// transaction read or wrote of it before.
func testKeysInOneTransaction(t *testing.T, s sessions.Store) {
	first, second := addDevice(t, s, 1), addDevice(t, s, 2)
	one := addSession(t, s, purchase(first.ID))
	put := func(tx sessions.Tx, state sessions.State, device sessions.DeviceID) {
		one.State, one.Device = state, device
		must(t, tx.PutSession(&one))
	}
	for name, change := range map[string]func(tx sessions.Tx){
		"unread": func(tx sessions.Tx) { put(tx, sessions.Running, second.ID) },
		"read": func(tx sessions.Tx) {
			_, err := tx.Session(one.ID)
			must(t, err)
			put(tx, sessions.Running, second.ID)
		},
		"put again and again": func(tx sessions.Tx) {
			put(tx, sessions.Running, first.ID)
			put(tx, sessions.Running, first.ID)
			put(tx, sessions.Paused, second.ID)
			put(tx, sessions.Running, second.ID)
		},
	} {
		update(t, s, func(tx sessions.Tx) error {
			put(tx, sessions.Available, first.ID)
			return nil
		})
		update(t, s, func(tx sessions.Tx) error {
			change(tx)
			return nil
		})
		view(t, s, func(tx sessions.Tx) error {
			got, err := tx.RunningOf([]sessions.DeviceID{first.ID, second.ID})
			must(t, err)
			same(t, name, got, []sessions.Session{one})
			return nil
		})
	}
}

// testReferences: a reference belongs to one session, until that is deleted.
func testReferences(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	first := purchase(d.ID)
	first.Reference = "order 7"
	first = addSession(t, s, first)
	second := purchase(d.ID)
	second.Reference = "order 7"
	err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutSession(&second) })
	wantCode(t, "a reference that is taken", err, sessions.Conflict)
	if err == nil || !strings.Contains(err.Error(), "session 1") {
		t.Errorf("the refusal does not name the session that has it: %v", err)
	}
	view(t, s, func(tx sessions.Tx) error {
		found, err := tx.Sessions(sessions.SessionFilter{Reference: "order 7"})
		same(t, "by reference", found, []sessions.Session{first})
		return err
	})
	update(t, s, func(tx sessions.Tx) error { return tx.PutSession(&first) }) // its own
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteSession(first.ID) })
	addSession(t, s, second)
}
