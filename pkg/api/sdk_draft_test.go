// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is set while a Save is answered is neither lost nor saved twice.
func TestSettersDuringASave(t *testing.T) {
	bought := Session{ID: 1, Type: "time_or_data", TimeSecs: 60, DataBytes: 2e6}
	for _, test := range []struct {
		name      string
		meanwhile func(*clientSession)
		failed    bool
		unsaved   SessionPatch
		timeUsed  int64
	}{
		{"nothing", func(*clientSession) {}, false, SessionPatch{}, 16},
		{"speed", func(s *clientSession) { s.SetUpMbits(4) }, false, SessionPatch{UpBPS: new(uint64(4e6))}, 16},
		{"more used", func(s *clientSession) { s.IncTimeCons(2) }, false, SessionPatch{AddTimeUsedSecs: new(int64(2))}, 18},
		{"used is set", func(s *clientSession) { s.SetTimeCons(3) }, false, SessionPatch{TimeUsedSecs: new(int64(3))}, 3},
		{"more used, and failed", func(s *clientSession) { s.IncTimeCons(2) }, true, SessionPatch{AddTimeUsedSecs: new(int64(13))}, 13},
		{"used is set, and failed", func(s *clientSession) { s.SetTimeCons(3) }, true, SessionPatch{TimeUsedSecs: new(int64(3))}, 3},
	} {
		s := newClientSession(nil, bought)
		s.IncTimeCons(11)
		running, patch, err := s.send()
		if err != nil || patch.AddTimeUsedSecs == nil || *patch.AddTimeUsedSecs != 11 {
			t.Fatalf("sent %+v, %v; want 11 s more", patch, err)
		}
		test.meanwhile(s)
		if test.failed {
			s.failed(running)
		} else {
			fresh := bought
			fresh.TimeUsedSecs = 16 // 5 s were debited meanwhile
			s.saved(running, fresh)
		}
		if got := s.get().TimeUsedSecs; got != test.timeUsed {
			t.Errorf("%s: %d s are used, want %d", test.name, got, test.timeUsed)
		}
		_, unsaved, err := s.send()
		if diff := cmp.Diff(test.unsaved, unsaved); diff != "" || err != nil {
			t.Errorf("%s: the next Save sends (-want) %s, %v", test.name, diff, err)
		}
	}
}
