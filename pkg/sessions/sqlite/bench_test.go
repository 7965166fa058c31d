// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"path/filepath"
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

// fill stores n devices, each with a running session.
func fill(tb testing.TB, store *sqlite.Store, n int) {
	tb.Helper()
	err := store.Update(tb.Context(), func(tx sessions.Tx) error {
		for i := range n {
			d := sessions.Device{MAC: dataplane.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}}
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
