// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"math"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

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
			devices, err := tx.Devices()
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
