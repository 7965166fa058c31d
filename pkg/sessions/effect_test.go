// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"errors"
	"testing"
	"time"
)

// The kind: a request is accepted, and what was paid for has no effect. A sale or a change
// that gives something which its session does not use is refused, naming the field; what
// gives nothing (0) or takes something away is not.
func TestWithoutEffectIsRefused(t *testing.T) {
	for want, spec := range map[string]SessionSpec{
		"data_bytes": {Type: Time, Time: time.Hour, Bytes: 1},
		"time_secs":  {Type: Data, Bytes: 1, Time: time.Hour},
		"down_bps":   {Type: Time, Time: time.Hour, UseGlobalSpeed: true, DownBPS: 2e6},
		"up_bps":     {Type: Time, Time: time.Hour, UseGlobalSpeed: true, UpBPS: 2e6},
		"reference":  {Type: Time, Time: time.Hour, Reference: " x"},
		"":           {Type: TimeOrData, Time: time.Hour, Bytes: 1, DownBPS: 2e6, UpBPS: 2e6, Reference: "x"},
	} {
		wantField(t, "a sale", CheckSpec(spec), want)
	}

	now := Instant{Wall: noon, WallTrusted: true}
	days, more := uint(1), uint(30)
	byTime := Session{ID: 1, Type: Time, Time: time.Hour}
	byData := Session{ID: 1, Type: Data, Bytes: 100}
	both := Session{ID: 1, Type: TimeOrData, Time: time.Hour, Bytes: 100}
	global := Session{ID: 1, Type: Time, Time: time.Hour, UseGlobalSpeed: true}
	expired := Session{ID: 1, Type: Data, Bytes: 100, ExpDays: &days, Started: noon.Add(-72 * time.Hour)}
	noTime := Session{ID: 1, Type: TimeOrData, Time: time.Hour, TimeUsed: time.Hour, Bytes: 100}
	noData := Session{ID: 1, Type: TimeOrData, Time: time.Hour, Bytes: 100, Used: 100}
	kind, hour, bytes, bps, later := TimeOrData, time.Hour, uint64(500), uint64(2e6), noon.Add(time.Hour)
	zero, no, forever, longer := uint64(0), false, (*uint)(nil), &more
	half, sooner := time.Minute, &days
	for _, c := range []struct {
		name  string
		s     Session
		patch SessionPatch
		field string
	}{
		{"more data for time", byTime, SessionPatch{AddBytes: &bytes}, "add_data_bytes"},
		{"data for time", byTime, SessionPatch{Bytes: &bytes}, "data_bytes"},
		{"more time for data", byData, SessionPatch{AddTime: &hour}, "add_time_secs"},
		{"time for data", byData, SessionPatch{Time: &hour}, "time_secs"},
		{"no data for time", byTime, SessionPatch{Bytes: &zero}, ""},
		{"both, with the type", byTime, SessionPatch{Type: &kind, Bytes: &bytes}, ""},
		{"more of both", both, SessionPatch{AddTime: &hour, AddBytes: &bytes}, ""},
		{"a speed beside the global one", global, SessionPatch{DownBPS: &bps}, "down_bps"},
		{"its own speed", global, SessionPatch{UpBPS: &bps, UseGlobalSpeed: &no}, ""},
		{"a start to come", both, SessionPatch{Started: &later}, "started_at"},
		{"more for an expired one", expired, SessionPatch{AddBytes: &bytes}, "add_data_bytes"},
		{"a new total of an expired one", expired, SessionPatch{Bytes: &bytes}, "data_bytes"},
		{"more days, and still expired", expired, SessionPatch{ExpDays: ptr(ptr(uint(2)))}, "exp_days"},
		{"more data and days", expired, SessionPatch{AddBytes: &bytes, ExpDays: &longer}, ""},
		{"more data, for ever", expired, SessionPatch{AddBytes: &bytes, ExpDays: &forever}, ""},
		{"data without time", noTime, SessionPatch{AddBytes: &bytes}, "add_data_bytes"},
		{"time without data", noData, SessionPatch{AddTime: &hour}, "add_time_secs"},
		{"data and time", noTime, SessionPatch{AddBytes: &bytes, AddTime: &hour}, ""},
		{"less time than is used", noTime, SessionPatch{Time: &half}, ""},
		{"an end by the days", both, SessionPatch{ExpDays: &sooner, Started: ptr(noon.Add(-72 * time.Hour))}, ""},
	} {
		after, err := Patched(c.s, c.patch)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		wantField(t, c.name, c.patch.CheckEffect(c.s, after, now), c.field)
	}
}

func ptr[T any](value T) *T { return &value }

// noon is a time of which a set clock is sure.
var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

func wantField(t *testing.T, what string, err error, field string) {
	t.Helper()
	var own *Error
	refused := errors.As(err, &own)
	switch {
	case field == "" && err != nil:
		t.Errorf("%s is refused: %v", what, err)
	case field != "" && (!refused || own.Code != Invalid || own.Field != field):
		t.Errorf("%s: %v, want a refusal of %s", what, err, field)
	}
}
