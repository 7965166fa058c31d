// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sqlite"
)

// BenchmarkPurchase is one session and its event, on disk.
func BenchmarkPurchase(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "hotspot.db"))
	d := addDevice(b, store, 1)
	for b.Loop() {
		err := store.Update(b.Context(), func(tx sessions.Tx) error {
			s := sessions.Session{Device: d.ID, State: sessions.Available, Time: time.Hour}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
			return tx.AppendEvent(&sessions.Event{Type: sessions.SessionCreated, Session: s.ID})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckpoint is the settling of 1000 running sessions.
func BenchmarkCheckpoint(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "hotspot.db"))
	fill(b, store, 1000)
	running := sessions.SessionFilter{States: []sessions.State{sessions.Running}}
	for b.Loop() {
		err := store.Update(b.Context(), func(tx sessions.Tx) error {
			all, err := tx.Sessions(running)
			if err != nil {
				return err
			}
			for _, s := range all {
				s.Used, s.TimeUsed, s.Meter.Spent = s.Used+1e6, s.TimeUsed+time.Second, s.Meter.Spent+1e6
				if err := tx.PutSession(&s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect is what a connect and a disconnect ask of the store, without the wait
// for the disk.
func BenchmarkConnect(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "hotspot.db"))
	fill(b, store, 100)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		id := sessions.DeviceID(1 + n%100)
		for _, state := range []sessions.State{sessions.Paused, sessions.Running} {
			if err := turn(b.Context(), store, id, state); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// turn finds a device and its sessions, and stores a transition with two events.
func turn(ctx context.Context, store sessions.Store, id sessions.DeviceID, to sessions.State) error {
	d, err := sessions.View(ctx, store, func(tx sessions.Tx) (sessions.Device, error) {
		return tx.DeviceByMAC(dataplane.MAC{2, 0, 0, 0, byte((id - 1) >> 8), byte(id - 1)})
	})
	if err != nil {
		return err
	}
	list, err := sessions.View(ctx, store, func(tx sessions.Tx) ([]sessions.Session, error) {
		if _, err := tx.Device(d.ID); err != nil {
			return nil, err
		}
		return tx.Sessions(sessions.SessionFilter{Device: d.ID, States: []sessions.State{sessions.Available, sessions.Running, sessions.Paused}})
	})
	if err != nil {
		return err
	}
	err = store.Commit(ctx, func(tx sessions.Tx) error {
		s, err := tx.Session(list[0].ID)
		if err != nil {
			return err
		}
		s.State = to
		if err := tx.PutSession(&s); err != nil {
			return err
		}
		for _, kind := range []sessions.EventType{sessions.SessionStarted, sessions.ClientConnected} {
			if err := tx.AppendEvent(&sessions.Event{Type: kind, Time: s.Created, Device: d.ID, MAC: d.MAC.String(), Session: s.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = sessions.View(ctx, store, func(tx sessions.Tx) ([]sessions.Event, error) { return tx.Events(1, 2) })
	return err
}

// newPhones are how many devices a store knows before one is seen for the first time.
var newPhones = []int{1_000, 100_000}

// BenchmarkNewPhone is the first sight of a phone, at an address that another had.
func BenchmarkNewPhone(b *testing.B) {
	for _, known := range newPhones {
		b.Run(fmt.Sprint(known), func(b *testing.B) {
			store := open(b, filepath.Join(b.TempDir(), "hotspot.db"))
			fill(b, store, known)
			for n := 0; b.Loop(); n++ {
				mac := dataplane.MAC{6, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
				ip := address(n * 7919 % known)
				if err := seeFirst(b.Context(), store, mac, ip); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func seeFirst(ctx context.Context, store sessions.Store, mac dataplane.MAC, ip netip.Addr) error {
	return store.Commit(ctx, func(tx sessions.Tx) error {
		if _, err := tx.DeviceByMAC(mac); sessions.CodeOf(err) != sessions.NotFound {
			return fmt.Errorf("not its first sight: %w", err)
		}
		d := sessions.Device{MAC: mac, IPs: []netip.Addr{ip}}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		return tx.AppendEvent(&sessions.Event{Type: sessions.DeviceCreated, Device: d.ID, MAC: mac.String()})
	})
}

// BenchmarkPastExpiry is the question of every minute, with 100,000 paused sessions.
func BenchmarkPastExpiry(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "hotspot.db"))
	sellAndPause(b, store, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := findExpired(b.Context(), store); err != nil {
			b.Fatal(err)
		}
	}
}

func findExpired(ctx context.Context, store sessions.Store) error {
	list, err := sessions.View(ctx, store, func(tx sessions.Tx) ([]sessions.Session, error) { return tx.PastExpiry(started, 256) })
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("%d are past their expiry", len(list))
	}
	return err
}

// TestPastExpiryReadsNoOther: however many are paused, those that did not expire cost nothing.
func TestPastExpiryReadsNoOther(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "hotspot.db"))
	sellAndPause(t, store, 20_000)
	const most = 64 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := findExpired(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > most {
		t.Errorf("%d bytes are allocated, want at most %d", bytes, most)
	}
}

var started = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// sellAndPause stores n paused sessions that expire in a month.
func sellAndPause(tb testing.TB, store *sqlite.Store, n int) {
	tb.Helper()
	month := uint(30)
	err := store.Update(tb.Context(), func(tx sessions.Tx) error {
		d := sessions.Device{MAC: dataplane.MAC{2}}
		if err := tx.PutDevice(&d); err != nil {
			return err
		}
		for range n {
			s := sessions.Session{Device: d.ID, State: sessions.Paused, Provider: sessions.LocalProvider, Time: time.Hour, Started: started, ExpDays: &month}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// fill stores n devices, each with a running session.
func fill(tb testing.TB, store *sqlite.Store, n int) {
	tb.Helper()
	err := store.Update(tb.Context(), func(tx sessions.Tx) error {
		for i := range n {
			d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, IPs: []netip.Addr{address(i)}}
			if err := tx.PutDevice(&d); err != nil {
				return err
			}
			s := sessions.Session{Device: d.ID, State: sessions.Running, Provider: sessions.LocalProvider, Time: time.Hour, Bytes: 1e9}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}
