// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func testOwnWrites(t *testing.T, s sessions.Store) {
	update(t, s, func(tx sessions.Tx) error {
		d := sessions.Device{MAC: mac(1)}
		must(t, tx.PutDevice(&d))
		p := purchase(d.ID)
		must(t, tx.PutSession(&p))
		p.Used = 10
		must(t, tx.PutSession(&p))
		got, err := tx.Session(p.ID)
		must(t, err)
		same(t, "the session in its transaction", got, p)
		must(t, tx.DeleteSession(p.ID))
		_, err = tx.Session(p.ID)
		wantCode(t, "the session deleted in its transaction", err, sessions.NotFound)
		return nil
	})
}

func testRollback(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	p := addSession(t, s, purchase(d.ID))
	abort(t, s, func(tx sessions.Tx) {
		must(t, tx.PutDevice(&sessions.Device{MAC: mac(2)}))
		changed := d
		changed.Hostname = "changed"
		must(t, tx.PutDevice(&changed))
		must(t, tx.DeleteSession(p.ID))
		must(t, tx.AppendEvent(&sessions.Event{Type: sessions.SessionUpdated}))
		must(t, tx.PutProvider(sessions.ProviderRecord{Name: "shop"}))
	})
	wantOnly(t, s, d, p)
}

// wantOnly checks that nothing but a device and its session is stored.
func wantOnly(tb testing.TB, s sessions.Store, d sessions.Device, p sessions.Session) {
	tb.Helper()
	view(tb, s, func(tx sessions.Tx) error {
		devices, err := tx.Devices(sessions.DeviceFilter{})
		must(tb, err)
		same(tb, "Devices", devices, []sessions.Device{d})
		all, err := tx.Sessions(sessions.SessionFilter{})
		must(tb, err)
		same(tb, "Sessions", all, []sessions.Session{p})
		events, err := tx.Events(0, 0)
		must(tb, err)
		same(tb, "Events", events, []sessions.Event(nil))
		providers, err := tx.Providers()
		same(tb, "Providers", providers, []sessions.ProviderRecord(nil))
		return err
	})
}

func testPanic(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	p := addSession(t, s, purchase(d.ID))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(t.Context(), func(tx sessions.Tx) error {
			must(t, tx.DeleteSession(p.ID))
			panic("a mistake in the rules")
		})
	}()
	wantOnly(t, s, d, p) // and the store is not locked
	addDevice(t, s, 2)
}

func testViewReadOnly(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	p := addSession(t, s, purchase(d.ID))
	for _, read := range []func(context.Context, func(sessions.Tx) error) error{s.View, s.Snapshot} {
		if read(t.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&sessions.Device{MAC: mac(2)}) }) == nil {
			t.Error("a reading transaction let its function write")
		}
	}
	wantOnly(t, s, d, p)
}

// testSnapshot: a Snapshot that has begun does not see what commits meanwhile, and an
// Update does not wait for it.
func testSnapshot(t *testing.T, s sessions.Store) {
	addDevice(t, s, 1)
	must(t, s.Snapshot(t.Context(), func(tx sessions.Tx) error {
		before, err := tx.Devices(sessions.DeviceFilter{})
		must(t, err)
		addDevice(t, s, 2)
		after, err := tx.Devices(sessions.DeviceFilter{})
		same(t, "Devices, read again in one Snapshot", after, before)
		return err
	}))
	view(t, s, func(tx sessions.Tx) error {
		all, err := tx.Devices(sessions.DeviceFilter{})
		if len(all) != 2 {
			t.Errorf("the next View sees %d devices, want 2", len(all))
		}
		return err
	})
}

func testContext(t *testing.T, s sessions.Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	nothing := func(sessions.Tx) error { return nil }
	for name, call := range map[string]func(context.Context, func(sessions.Tx) error) error{"View": s.View, "Snapshot": s.Snapshot, "Update": s.Update} {
		if err := call(ended, nothing); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context returned %v", name, err)
		}
	}

	during, cancel := context.WithCancel(t.Context())
	err := s.Update(during, func(tx sessions.Tx) error {
		must(t, tx.PutDevice(&sessions.Device{MAC: mac(1)}))
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update whose context ended before the commit returned %v", err)
	}

	waiting, cancel := context.WithCancel(t.Context())
	update(t, s, func(sessions.Tx) error { // holds the turn
		done := make(chan error)
		go func() { done <- s.Update(waiting, nothing) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Update whose context ended while it waited returned %v", err)
		}
		return nil
	})
	view(t, s, func(tx sessions.Tx) error {
		all, err := tx.Devices(sessions.DeviceFilter{})
		same(t, "Devices", all, []sessions.Device(nil))
		return err
	})
}

// testSerial debits one session from many goroutines, each reading it first.
func testSerial(t *testing.T, s sessions.Store) {
	d := addDevice(t, s, 1)
	p := addSession(t, s, purchase(d.ID))
	const debtors, each = 8, 25
	var group sync.WaitGroup
	for range debtors {
		group.Go(func() {
			for range each {
				if err := s.Update(t.Context(), func(tx sessions.Tx) error { return debit(tx, p.ID) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() { // and a reader beside them
		for range each {
			if err := s.View(t.Context(), func(tx sessions.Tx) error { _, err := tx.Session(p.ID); return err }); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	view(t, s, func(tx sessions.Tx) error {
		got, err := tx.Session(p.ID)
		if got.Used != debtors*each {
			t.Errorf("%d bytes are debited, want %d: Updates ran into each other", got.Used, debtors*each)
		}
		return err
	})
}

func debit(tx sessions.Tx, id sessions.SessionID) error {
	session, err := tx.Session(id)
	if err != nil {
		return err
	}
	session.Used++
	return tx.PutSession(&session)
}

func testCommit(t *testing.T, s sessions.Store) {
	must(t, s.Sync())
	d := sessions.Device{MAC: mac(1)}
	must(t, s.Commit(t.Context(), func(tx sessions.Tx) error { return tx.PutDevice(&d) }))
	err := s.Commit(t.Context(), func(tx sessions.Tx) error {
		must(t, tx.PutDevice(&sessions.Device{MAC: mac(2)}))
		return errAbort
	})
	if !errors.Is(err, errAbort) {
		t.Errorf("Commit returned %v, want the error of its function", err)
	}
	for range 2 {
		view(t, s, func(tx sessions.Tx) error {
			devices, err := tx.Devices(sessions.DeviceFilter{})
			same(t, "Devices", devices, []sessions.Device{d})
			return err
		})
		must(t, s.Sync())
	}
}

func testCheckpoint(t *testing.T, s sessions.Store) {
	want := sessions.Checkpoint{}
	for _, next := range []sessions.Checkpoint{
		{Boot: "0a1b", At: 5, Epoch: math.MaxUint64, Spent: []sessions.Count{{Account: 3, Spent: 1 << 62}, {Account: 1, Spent: 7}}},
		{Boot: "0a1b", At: math.MaxInt64, Epoch: 2},
		{Boot: "0a1b", At: 6, Epoch: 2, Spent: make([]sessions.Count, 5000)},
		{Boot: "2c", At: 7, Epoch: 2, Spent: []sessions.Count{{Account: 9, Spent: 1}}},
		{},
	} {
		got, err := s.Checkpoint()
		must(t, err)
		same(t, "Checkpoint", got, want)
		must(t, s.PutCheckpoint(next))
		want = next
	}
}
