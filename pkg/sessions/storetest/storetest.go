// SPDX-License-Identifier: Apache-2.0

// Package storetest says, as tests, what every [sessions.Store] must do.
package storetest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// SnapshotUnchanged is the test of Snapshots beside which an Update commits.
const SnapshotUnchanged = "Snapshot does not change"

// Run tests the Store that open makes: an empty one for each call, closed by
// t.Cleanup. Tests named in without are left out.
func Run(t *testing.T, open func(*testing.T) sessions.Store, without ...string) {
	groups := []struct {
		name string
		test func(*testing.T, sessions.Store)
	}{
		{"a new store is empty", testEmpty},
		{"devices", testDevices},
		{"keys in one transaction", testKeysInOneTransaction},
		{"a MAC belongs to one device", testMACConflict},
		{"a device is deleted", testDeleteDevice},
		{"an address belongs to one device", testAddresses},
		{"sessions", testSessions},
		{"session filter", testSessionFilter},
		{"running sessions", testRunning},
		{"sessions past their expiry", testPastExpiry},
		{"pages and searches", testLists},
		{"reserved ids", testReserved},
		{"what is long past", testForgettable},
		{"session values", testSessionValues},
		{"session refusals", testSessionRefusals},
		{"ids are not reused", testIDs},
		{"claims", testClaims},
		{"references", testReferences},
		{"answers", testAnswers},
		{"generations", testGenerations},
		{"events", testEvents},
		{"providers", testProviders},
		{"counts", testCounts},
		{"own writes are seen", testOwnWrites},
		{"a failed Update leaves nothing", testRollback},
		{"a panic leaves nothing", testPanic},
		{"View does not write", testViewReadOnly},
		{SnapshotUnchanged, testSnapshot},
		{"a context that ended", testContext},
		{"Updates are serial", testSerial},
		{"event numbers have no gaps", testSeqGapless},
		{"what was committed is seen, and synced", testCommit},
		{"checkpoint", testCheckpoint},
	}
	for _, g := range groups {
		if slices.Contains(without, g.name) {
			continue
		}
		t.Run(g.name, func(t *testing.T) { g.test(t, open(t)) })
	}
}

// must fails the test on an error of Update or View.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func update(tb testing.TB, s sessions.Store, fn func(sessions.Tx) error) {
	tb.Helper()
	must(tb, s.Update(tb.Context(), fn))
}

func view(tb testing.TB, s sessions.Store, fn func(sessions.Tx) error) {
	tb.Helper()
	must(tb, s.View(tb.Context(), fn))
}

func wantCode(tb testing.TB, what string, err error, want sessions.Code) {
	tb.Helper()
	var e *sessions.Error
	if !errors.As(err, &e) || e.Code != want {
		tb.Errorf("%s: got error %v, want one of code %q", what, err, want)
	}
}

// same compares values; an empty list is as good as none, and times are equal when they are the same instant.
func same(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// noon is a time with nanoseconds, in a zone, as a caller may have it.
var noon = time.Date(2026, 3, 29, 12, 0, 0, 123456789, time.FixedZone("PST", 8*3600))

func mac(n byte) dataplane.MAC { return dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, n} }

// addDevice stores a device with the n-th MAC.
func addDevice(tb testing.TB, s sessions.Store, n byte) sessions.Device {
	tb.Helper()
	d := sessions.Device{MAC: mac(n), Hostname: "phone", Created: noon}
	update(tb, s, func(tx sessions.Tx) error { return tx.PutDevice(&d) })
	return d
}

// purchase is a session as it is when it was just bought.
func purchase(device sessions.DeviceID) sessions.Session {
	return sessions.Session{
		Device: device, Provider: sessions.LocalProvider, Type: sessions.TimeOrData, State: sessions.Available,
		Time: time.Hour, Bytes: 100_000_000, DownBPS: 5_000_000, UpBPS: 3_000_000, Created: noon,
	}
}

func addSession(tb testing.TB, s sessions.Store, session sessions.Session) sessions.Session {
	tb.Helper()
	update(tb, s, func(tx sessions.Tx) error { return tx.PutSession(&session) })
	return session
}

func testEmpty(t *testing.T, s sessions.Store) {
	view(t, s, func(tx sessions.Tx) error {
		devices, err := tx.Devices(sessions.DeviceFilter{})
		must(t, err)
		all, err := tx.Sessions(sessions.SessionFilter{})
		must(t, err)
		events, err := tx.Events(0, 0)
		must(t, err)
		providers, err := tx.Providers()
		must(t, err)
		if n := len(devices) + len(all) + len(events) + len(providers); n != 0 {
			t.Errorf("a new store holds %d things", n)
		}
		_, err = tx.Device(1)
		wantCode(t, "Device(1)", err, sessions.NotFound)
		_, err = tx.DeviceByMAC(mac(1))
		wantCode(t, "DeviceByMAC", err, sessions.NotFound)
		_, err = tx.DeviceByIP(netip.MustParseAddr("10.0.0.7"))
		wantCode(t, "DeviceByIP", err, sessions.NotFound)
		_, err = tx.Session(1)
		wantCode(t, "Session(1)", err, sessions.NotFound)
		_, err = tx.Provider("shop")
		wantCode(t, "Provider", err, sessions.NotFound)
		return nil
	})
	missing := map[string]func(sessions.Tx) error{
		"PutDevice":      func(tx sessions.Tx) error { return tx.PutDevice(&sessions.Device{ID: 7, MAC: mac(7)}) },
		"PutSession":     func(tx sessions.Tx) error { p := purchase(1); p.ID = 7; return tx.PutSession(&p) },
		"DeleteDevice":   func(tx sessions.Tx) error { return tx.DeleteDevice(7) },
		"DeleteSession":  func(tx sessions.Tx) error { return tx.DeleteSession(7) },
		"DeleteProvider": func(tx sessions.Tx) error { return tx.DeleteProvider("shop") },
	}
	for what, fn := range missing {
		wantCode(t, what, s.Update(t.Context(), fn), sessions.NotFound)
	}
}

var errAbort = errors.New("abort")

// abort runs fn in a transaction that fails.
func abort(tb testing.TB, s sessions.Store, fn func(sessions.Tx)) {
	tb.Helper()
	err := s.Update(context.Background(), func(tx sessions.Tx) error {
		fn(tx)
		return errAbort
	})
	if !errors.Is(err, errAbort) {
		tb.Fatalf("Update returned %v, want the error of its function", err)
	}
}
