// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func testClaims(t *testing.T, s sessions.Store) {
	device := addDevice(t, s, 1)
	first, second := addSession(t, s, purchase(device.ID)), addSession(t, s, purchase(device.ID))
	update(t, s, func(tx sessions.Tx) error {
		must(t, tx.PutClaim(sessions.ClaimHash{1}, first.ID))
		return tx.PutClaim(sessions.ClaimHash{2}, second.ID)
	})
	expect := func(hash byte, want sessions.SessionID) {
		t.Helper()
		view(t, s, func(tx sessions.Tx) error {
			id, err := tx.Claim(sessions.ClaimHash{hash})
			if want == 0 {
				wantCode(t, "a code of nothing", err, sessions.NotFound)
			} else if err != nil || id != want {
				t.Errorf("claim %d is of session %d, %v, want %d", hash, id, err, want)
			}
			return nil
		})
	}
	expect(1, first.ID)
	expect(2, second.ID)
	expect(3, 0)
	view(t, s, func(tx sessions.Tx) error {
		if hash, err := tx.ClaimOf(second.ID); err != nil || hash != (sessions.ClaimHash{2}) {
			t.Errorf("the code of the second session is %x, %v", hash, err)
		}
		_, err := tx.ClaimOf(second.ID + 1)
		wantCode(t, "a session without a code", err, sessions.NotFound)
		return nil
	})
	err := s.Update(t.Context(), func(tx sessions.Tx) error { return tx.PutClaim(sessions.ClaimHash{2}, first.ID) })
	wantCode(t, "a code of another session", err, sessions.Conflict)
	for range 2 { // the second time it is its own already
		update(t, s, func(tx sessions.Tx) error { return tx.PutClaim(sessions.ClaimHash{4}, first.ID) })
		expect(1, 0)
		expect(4, first.ID)
	}
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteClaim(first.ID) })
	expect(4, 0)
	update(t, s, func(tx sessions.Tx) error { return tx.DeleteSession(second.ID) })
	expect(2, 0)
	err = s.Update(t.Context(), func(tx sessions.Tx) error { return tx.DeleteClaim(first.ID) })
	wantCode(t, "a code that is gone", err, sessions.NotFound)
}
