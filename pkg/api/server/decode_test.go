// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

func TestNewSessionIsRefused(t *testing.T) {
	for _, test := range []struct{ body, field, value string }{
		{``, "device", "missing"},
		{`{"type":"time"}`, "device", "missing"},
		{`{"device":null,"type":"time"}`, "device", "missing"},
		{`{"device":1}`, "type", "missing"},
		{`{"device":true,"type":"time"}`, "device", "true"},
		{`{"device":{"id":1},"type":"time"}`, "device", `{"id`},
		{`{"device":0,"type":"time"}`, "device", "0"},
		{`{"device":-4,"type":"time"}`, "device", "-4"},
		{`{"device":1.5,"type":"time"}`, "device", "1.5"},
		{`{"device":1,"type":"forever"}`, "type", "forever"},
		{`{"device":1,"type":3}`, "type", "3"},
		{`{"device":1,"type":-1}`, "type", "-1"},
		{`{"device":1,"type":[0]}`, "type", "[0]"},
		{`{"device":1,"type":"time","time_secs":-1}`, "time_secs", "-1"},
		{`{"device":1,"type":"time","time_secs":1.5}`, "time_secs", "1.5"},
		{`{"device":1,"type":"time","time_secs":"60"}`, "time_secs", `"60"`},
		{`{"device":1,"type":"time","time_secs":9223372037}`, "time_secs", "9223372037"},
		{`{"device":1,"type":"data","data_bytes":NaN}`, "data_bytes", "NaN"},
		{`{"device":1,"type":"data","data_bytes":Infinity,"exp_days":1}`, "data_bytes", "Infinity"},
		{`{"device":1,"type":"data","data_bytes":1e30}`, "data_bytes", "1e30"},
		{`{"device":1,"type":"data","data_bytes":1e999}`, "data_bytes", "1e999"},
		{`{"device":1,"type":"data","data_bytes":9223372036854775808}`, "data_bytes", "9223372036854775808"},
		{`{"device":1,"type":"data","exp_days":-1}`, "exp_days", "-1"},
		{`{"device":1,"type":"data","exp_days":106752}`, "exp_days", "106752"},
		{`{"device":1,"type":"data","down_bps":-5}`, "down_bps", "-5"},
		{`{"device":1,"type":"data","use_global_speed":"yes"}`, "use_global_speed", "yes"},
		{`{"device":1,"type":"data","price":5}`, "price", "5"},
		{`{"device":1,"Type":"data"}`, "Type", "data"},
		{`{"device":1,"type":"data","type":"time"}`, "type", "time"},
		{`{"device":1,"type":"data"} {}`, "body", "{}"},
		{`{"device":1,"type":"data"`, "body", "does not end"},
		{`[1]`, "body", "[1]"},
		{`42`, "body", "42"},
		{`{'device':1}`, "body", "'device'"},
		{"{\"device\":\"\xff\"}", "body", "UTF-8"},
	} {
		_, _, err := newSessionFrom([]byte(test.body))
		var own *sessions.Error
		if !errors.As(err, &own) || own.Code != sessions.Invalid || own.Field != test.field || !strings.Contains(strings.ReplaceAll(own.Message, `\"`, `"`), test.value) {
			t.Errorf("%s: error is %#v, want invalid %q with %q", test.body, err, test.field, test.value)
		}
	}
}

func TestNewSessionIsRead(t *testing.T) {
	week := uint(7)
	for _, test := range []struct {
		body, device string
		want         sessions.SessionSpec
	}{
		{`{"device":7,"type":"time","time_secs":60}`, "7", sessions.SessionSpec{Type: sessions.Time, Time: time.Minute}},
		{`{"device":"7","type":0,"time_secs":6e1}`, "7", sessions.SessionSpec{Type: sessions.Time, Time: time.Minute}},
		{`{"device":"02:00:00:00:00:01","type":"1","data_bytes":9223372036854775807}`, "02:00:00:00:00:01",
			sessions.SessionSpec{Type: sessions.Data, Bytes: math.MaxInt64}},
		{` {"device":"10.0.0.2","type":2,"exp_days":7,"down_bps":1.0e6,"up_bps":5,"use_global_speed":true,"time_secs":null} `, "10.0.0.2",
			sessions.SessionSpec{Type: sessions.TimeOrData, ExpDays: &week, DownBPS: 1e6, UpBPS: 5, UseGlobalSpeed: true}},
	} {
		spec, device, err := newSessionFrom([]byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", test.body, err)
		}
		if diff := cmp.Diff(test.want, spec); diff != "" || device != test.device {
			t.Errorf("%s: device %q, want %q; %s", test.body, device, test.device, diff)
		}
	}
}

func TestSessionPatchIsRead(t *testing.T) {
	patch, _, err := sessionPatchFrom([]byte(`{"exp_days":null,"add_data_bytes":5,"time_used_secs":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if patch.ExpDays == nil || *patch.ExpDays != nil {
		t.Errorf("exp_days null is %v, want a change to never", patch.ExpDays)
	}
	if *patch.AddBytes != 5 || *patch.TimeUsed != 3*time.Second || patch.Bytes != nil || patch.Type != nil {
		t.Errorf("patch is %+v", patch)
	}
	if empty, _, err := sessionPatchFrom(nil); err != nil || !cmp.Equal(empty, sessions.SessionPatch{}) {
		t.Errorf("an empty body is %+v, %v; want no change", empty, err)
	}
	if _, _, err := sessionPatchFrom([]byte(`{"time_secs":null}`)); err == nil || !strings.Contains(err.Error(), "time_secs") {
		t.Errorf("time_secs null: %v, want it refused", err)
	}
}
