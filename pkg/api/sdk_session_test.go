// SPDX-License-Identifier: Apache-2.0

//go:build linux

package api_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// startSession sells 60 s and 2 MB, connects, and returns the running session.
func startSession(t *testing.T, a *api.API, clnt api.ClientDevice) api.ClientSession {
	t.Helper()
	if err := a.SessionsMgr().CreateSession(t.Context(), clnt.Id(), 2, 60, 2, nil, 5, 3, false); err != nil {
		t.Fatal(err)
	}
	if err := a.SessionsMgr().Connect(t.Context(), clnt, ""); err != nil {
		t.Fatal(err)
	}
	s, ok := a.SessionsMgr().CurrSession(clnt)
	if !ok {
		t.Fatal("no session runs")
	}
	return s
}

func TestSettersWaitForSave(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	s := startSession(t, a, clnt)
	before := apitest.Must(agent.client.Session(t.Context(), 1))(t)
	days := uint(9)
	s.SetTimeSecs(s.TimeSecs() + 60)
	s.SetDataMb(2.5)
	s.SetExpDays(&days)
	s.SetDownMbits(7)
	s.SetUpMbits(0)
	s.SetUseGlobalSpeed(true)
	if s.TimeSecs() != 120 || s.DataMb() != 2.5 || s.RemainingData() != 2.5 || *s.ExpDays() != 9 || s.DownMbits() != 7 || !s.UseGlobalSpeed() {
		t.Errorf("the object does not show what was set: %+v", s)
	}
	if now := apitest.Must(agent.client.Session(t.Context(), 1))(t); !cmp.Equal(now, before) {
		t.Errorf("before Save the agent has %s", cmp.Diff(before, now))
	}
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := before
	want.TimeSecs, want.RemainingSecs, want.DataBytes, want.RemainingBytes = 120, 120, 2_500_000, 2_500_000
	want.ExpDays, want.DownBPS, want.UpBPS, want.UseGlobalSpeed = &days, 7_000_000, 0, true
	want.ExpiresAt = s.ExpiresAt()
	if now := apitest.Must(agent.client.Session(t.Context(), 1))(t); !cmp.Equal(now, want) {
		t.Errorf("after Save: %s", cmp.Diff(want, now))
	}
}

// Save writes what this object changed, and not what another did meanwhile.
func TestSaveWritesOnlyChanges(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	s := startSession(t, a, clnt)
	agent.Clock.Advance(5 * time.Second)
	speed := uint64(9_000_000)
	apitest.Must(agent.client.UpdateSession(t.Context(), 1, api.SessionPatch{DownBPS: &speed}))(t)
	s.SetUpMbits(8)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.DownMbits() != 9 || s.UpMbits() != 8 || s.TimeConsumption() != 5 {
		t.Errorf("after Save: %d/%d Mbit/s, %d s used; want 9/8, 5", s.DownMbits(), s.UpMbits(), s.TimeConsumption())
	}
}

func TestConsumptionIsAddedOrSet(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	s := startSession(t, a, clnt)
	s.IncTimeCons(10)
	s.IncTimeCons(1)
	s.IncDataCons(0.25)
	agent.Clock.Advance(5 * time.Second)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.TimeConsumption() != 16 || s.DataConsumption() != 0.25 {
		t.Errorf("after adding 11 s to what became 5 s: %d s, %v MB", s.TimeConsumption(), s.DataConsumption())
	}
	s.SetTimeCons(3)
	s.SetDataCons(0)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.TimeConsumption() != 3 || s.DataConsumption() != 0 || s.RemainingTime() != 57 {
		t.Errorf("after setting: %d s, %v MB", s.TimeConsumption(), s.DataConsumption())
	}
	s.IncTimeCons(30)
	s.SetTimeCons(4)
	s.IncTimeCons(2)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.TimeConsumption() != 6 {
		t.Errorf("after setting 4 s and adding 2: %d s", s.TimeConsumption())
	}
}

// Nothing that the kernel counts between reading and saving is overwritten.
func TestConsumptionIsAddedByTheAgent(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	startSession(t, a, clnt)
	secs, bytes := int64(11), uint64(500)
	agent.Clock.Advance(5 * time.Second)
	now := apitest.Must(agent.client.UpdateSession(t.Context(), 1, api.SessionPatch{AddTimeUsedSecs: &secs, AddDataUsedBytes: &bytes}))(t)
	if now.TimeUsedSecs != 16 || now.DataUsedBytes != 500 {
		t.Errorf("after adding 11 s and 500 bytes to 5 s and nothing: %d s, %d bytes", now.TimeUsedSecs, now.DataUsedBytes)
	}
	secs = 0
	_, err := agent.client.UpdateSession(t.Context(), 1, api.SessionPatch{AddTimeUsedSecs: &secs})
	apitest.WantCode(t, err, sessions.Invalid, "add_time_used_secs")
}

func TestFirstStartIsMoved(t *testing.T) {
	agent, a, clnt := dialAgent(t)
	s := startSession(t, a, clnt)
	days := uint(2)
	moved := s.StartedAt().Add(-24 * time.Hour)
	s.SetExpDays(&days)
	s.SetStartedAt(&moved)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := apitest.Must(agent.client.Session(t.Context(), 1))(t)
	if want := moved.Add(48 * time.Hour); now.ExpiresAt == nil || !now.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", now.ExpiresAt, want)
	}
	plain := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := agent.client.UpdateSession(t.Context(), 1, api.SessionPatch{StartedAt: &plain})
	apitest.WantCode(t, err, sessions.Invalid, "started_at")
}

func TestSettersRefuseAtSave(t *testing.T) {
	_, a, clnt := dialAgent(t)
	s := startSession(t, a, clnt)
	for field, set := range map[string]func(){
		"data_mb":    func() { s.SetDataMb(math.NaN()) },
		"data_cons":  func() { s.IncDataCons(-1) },
		"time_secs":  func() { s.SetTimeSecs(math.MaxUint) },
		"time_cons":  func() { s.IncTimeCons(math.MaxUint) },
		"down_mbits": func() { s.SetDownMbits(-3) },
		"started_at": func() { s.SetStartedAt(nil) },
	} {
		set()
		apitest.WantCode(t, s.Save(t.Context()), sessions.Invalid, field)
		if err := s.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context()); err != nil {
			t.Errorf("%s: after Reload nothing is to be saved: %v", field, err)
		}
	}
	s.SetTimeSecs(0)
	apitest.WantCode(t, s.Save(t.Context()), sessions.Invalid, "time_secs")
}
