// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// testLists reads lists page by page, from both ends, and searches them.
func testLists(t *testing.T, s sessions.Store) {
	var devices []sessions.Device
	var sold []sessions.Session
	for n := range byte(7) {
		d := sessions.Device{MAC: mac(n + 1), Hostname: []string{"Phone_A", "phonexb", "tv"}[n%3], Created: noon.AddDate(0, 0, int(n)),
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, n, 77})}}
		update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(&d) })
		devices = append(devices, d)
		p := purchase(d.ID)
		p.Created = noon.AddDate(0, 0, int(n))
		p.State = sessions.States()[int(n)%len(sessions.States())]
		sold = append(sold, addSession(t, s, p))
	}
	for _, c := range []struct {
		query string
		want  []int
	}{
		{"", []int{0, 1, 2, 3, 4, 5, 6}},
		{"phone", []int{0, 1, 3, 4, 6}},
		{"PHONE_", []int{0, 3, 6}}, // and not any letter
		{"10.0.4.", []int{4}},
		{"5e:10:00:02", []int{1}},
		{"%", nil},
		{"nothing", nil},
	} {
		for _, newest := range []bool{false, true} {
			for _, since := range []int{0, 3} {
				want := slices.DeleteFunc(slices.Clone(c.want), func(n int) bool { return n < since })
				if newest {
					slices.Reverse(want)
				}
				at := time.Time{}
				if since > 0 {
					at = noon.AddDate(0, 0, since)
				}
				wantPages(t, s, sessions.DeviceFilter{Query: c.query, Newest: newest, Since: at}, pick(devices, want))
				wantSessionPages(t, s, sessions.SessionFilter{Query: c.query, Newest: newest, Since: at}, pick(sold, want))
			}
		}
	}
	some := sessions.SessionFilter{States: []sessions.State{sessions.Running, sessions.Available, sessions.Expired}, Newest: true}
	wantSessionPages(t, s, some, pick(sold, []int{6, 5, 4, 1, 0}))
	some.Newest = false
	wantSessionPages(t, s, some, pick(sold, []int{0, 1, 4, 5, 6}))
}

func pick[T any](all []T, which []int) (some []T) {
	for _, n := range which {
		some = append(some, all[n])
	}
	return some
}

func wantPages(tb testing.TB, s sessions.Store, filter sessions.DeviceFilter, want []sessions.Device) {
	tb.Helper()
	var got []sessions.Device
	for filter.Limit = 2; ; filter.After = got[len(got)-1].ID {
		var page []sessions.Device
		view(tb, s, func(tx sessions.Tx) (err error) {
			page, err = tx.Devices(filter)
			return err
		})
		got = append(got, page...)
		if len(page) < filter.Limit {
			break
		}
	}
	same(tb, "devices", got, want)
}

func wantSessionPages(tb testing.TB, s sessions.Store, filter sessions.SessionFilter, want []sessions.Session) {
	tb.Helper()
	var got []sessions.Session
	for filter.Limit = 2; ; filter.After = got[len(got)-1].ID {
		var page []sessions.Session
		view(tb, s, func(tx sessions.Tx) (err error) {
			page, err = tx.Sessions(filter)
			return err
		})
		got = append(got, page...)
		if len(page) < filter.Limit {
			break
		}
	}
	same(tb, "sessions", got, want)
}

// testReserved: a reserved id is given to nothing else, whether it is used or not.
func testReserved(t *testing.T, s sessions.Store) {
	first := addDevice(t, s, 1)
	var reserved, next sessions.DeviceID
	update(t, s, func(tx sessions.Tx) (err error) {
		if reserved, err = tx.ReserveDevices(10); err == nil {
			next, err = tx.ReserveDevices(5)
		}
		return err
	})
	if reserved != first.ID+1 || next != reserved+10 {
		t.Errorf("reserved from %d and %d on, want %d and %d", reserved, next, first.ID+1, first.ID+11)
	}
	kept := sessions.Device{ID: reserved + 3, MAC: mac(3), Created: noon, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}}
	update(t, s, func(tx sessions.Tx) error { return tx.InsertDevice(kept) })
	later := addDevice(t, s, 4)
	if later.ID < next+5 {
		t.Errorf("a new device got the reserved id %d", later.ID)
	}
	wantAddresses(t, s, "devices", first, kept, later)
	for what, d := range map[string]sessions.Device{"a taken MAC": {ID: reserved + 4, MAC: mac(1)}} {
		err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.InsertDevice(d) })
		wantCode(t, what, err, sessions.Conflict)
	}
}

// testForgettable: what a retention asks for, and the deletion of devices.
func testForgettable(t *testing.T, s sessions.Store) {
	never, bought, back := addDevice(t, s, 1), addDevice(t, s, 2), addDevice(t, s, 3)
	back.Seen = noon.AddDate(0, 2, 0)
	update(t, s, func(tx sessions.Tx) error { return tx.PutDevice(&back) })
	over := func(ended time.Time, state sessions.State, unsaved bool) sessions.Session {
		p := purchase(bought.ID)
		p.State, p.Ended, p.Unsaved = state, ended, unsaved
		return addSession(t, s, p)
	}
	late := over(noon.Add(time.Hour), sessions.Expired, false)
	early := over(noon, sessions.Consumed, false)
	over(noon, sessions.Consumed, true)
	over(time.Time{}, sessions.Paused, false)
	again := over(noon, sessions.Consumed, false)
	again.State, again.Ended = sessions.Available, time.Time{} // topped up
	update(t, s, func(tx sessions.Tx) error { return tx.PutSession(&again) })
	view(t, s, func(tx sessions.Tx) error {
		month := noon.AddDate(0, 1, 0)
		idle, err := tx.Devices(sessions.DeviceFilter{Idle: month})
		must(t, err)
		same(t, "idle devices", idle, []sessions.Device{never})
		for limit, want := range map[int][]sessions.Session{9: {early, late}, 1: {early}} {
			ended, err := tx.EndedBefore(month, limit)
			must(t, err)
			same(t, "ended sessions", ended, want)
		}
		none, err := tx.EndedBefore(noon, 9)
		must(t, err)
		same(t, "sessions that ended before the first", none, []sessions.Session{})
		for at, want := range map[time.Time]bool{noon: true, noon.Add(1): false} {
			if sold, err := tx.Sold(at); sold != want || err != nil {
				t.Errorf("sold at %s: %v, %v", at, sold, err)
			}
		}
		return nil
	})
	err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.DeleteDevice(bought.ID) })
	wantCode(t, "deleting a device with sessions", err, sessions.Conflict)
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteDevice(never.ID) })
	err = s.Update(t.Context(), func(tx sessions.Tx) error { return tx.DeleteDevice(never.ID) })
	wantCode(t, "deleting it again", err, sessions.NotFound)
	wantAddresses(t, s, "what is left", bought, back)
}
