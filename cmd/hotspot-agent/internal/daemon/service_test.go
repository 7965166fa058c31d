// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/sessionstest"
)

// playedPlane is the kernel's view as a test has it.
type playedPlane struct {
	neighbors map[netip.Addr]dataplane.MAC
	others    []dataplane.Holder // instead of neighbors
	err       error
	status    dataplane.Status
}

func (p *playedPlane) HoldersOf(ip netip.Addr, _ string) ([]dataplane.Holder, error) {
	if p.others != nil {
		return p.others, nil
	}
	if mac, ok := p.neighbors[ip]; ok {
		return []dataplane.Holder{{MAC: mac, Interface: "br-lan"}}, nil
	}
	if p.err != nil {
		return nil, p.err
	}
	return nil, dataplane.ErrNoNeighbor
}

func (p *playedPlane) Status() dataplane.Status      { return p.status }
func (p *playedPlane) Problems() []dataplane.Problem { return p.status.Problems }
func (p *playedPlane) Garden() (dataplane.GardenStatus, error) {
	return dataplane.GardenStatus{MaxAddresses: 10_000}, nil
}

func newService(t *testing.T) (*Service, *playedPlane, *sessionstest.Clock) {
	t.Helper()
	clock := sessionstest.NewClock()
	manager := manager.New(sessionstest.NewStore(), sessionstest.NewKernel(clock), clock, manager.Config{})
	if err := manager.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	plane := &playedPlane{neighbors: map[netip.Addr]dataplane.MAC{}}
	return NewService(manager, plane, "v1", time.Unix(1, 0)), plane, clock
}

var (
	address = netip.MustParseAddr("10.0.0.23")
	first   = dataplane.MAC{2, 0, 0, 0, 0, 1}
	second  = dataplane.MAC{2, 0, 0, 0, 0, 2}
)

// Every setting reaches the rules.
func TestRulesFollowTheConfiguration(t *testing.T) {
	mac := []dataplane.MAC{first}
	cfg := config.Config{
		GlobalDownBPS: 1, GlobalUpBPS: 2, LowBalancePercent: 3, IdleTimeout: 4, Checkpoint: 5,
		ForgetDevices: 6, KeepSessions: 7,
		AfterReboot: config.RebootResume, Bind: sessions.BindIP, Trusted: mac, Blocked: mac,
	}
	rules := reflect.ValueOf(managerConfig(cfg, nil, slog.New(slog.DiscardHandler)))
	for i := range rules.NumField() {
		name := rules.Type().Field(i).Name
		if rules.Field(i).IsZero() && name != "ProviderTimeout" { // no setting
			t.Errorf("%s is not set", name)
		}
	}
}

func TestAttachMode(t *testing.T) {
	tcx, clsact, none := dataplane.Interface{Attached: true, Mode: dataplane.TCX}, dataplane.Interface{Attached: true, Mode: dataplane.Clsact}, dataplane.Interface{}
	for _, c := range []struct {
		want       string
		interfaces []dataplane.Interface
	}{
		{"none", nil}, {"none", []dataplane.Interface{none}}, {"tcx", []dataplane.Interface{none, tcx, tcx}},
		{"clsact", []dataplane.Interface{clsact}}, {"mixed", []dataplane.Interface{tcx, none, clsact}},
	} {
		if got := attachMode(c.interfaces); got != c.want {
			t.Errorf("%v: %s, want %s", c.interfaces, got, c.want)
		}
	}
}

func TestAgentStatusReportsProblems(t *testing.T) {
	s, plane, clock := newService(t)
	plane.status.Limiter = dataplane.Fair
	status, err := s.AgentStatus(t.Context())
	if err != nil || !status.Health.OK || status.Limiter != "fair" {
		t.Errorf("healthy: %+v, %v", status, err)
	}
	plane.status.Problems = []dataplane.Problem{{Code: dataplane.InterfaceAbsent, Interface: "br-lan", Detail: "interface br-lan: gone"}}
	clock.SetWall(time.Unix(0, 0))
	status, err = s.AgentStatus(t.Context())
	if err != nil || status.Health.OK || status.Health.ClockSane || len(status.Health.Problems) != 2 {
		t.Errorf("ill: %+v, %v", status, err)
	}
	want := api.ActiveProblem{Code: "interface_absent", Interface: "br-lan", Detail: "interface br-lan: gone"}
	if diff := cmp.Diff(want, status.Health.Active[0]); diff != "" || status.Health.Problems[0] != want.Detail {
		t.Errorf("%q, active (-want +got):\n%s", status.Health.Problems, diff)
	}
}

// played is an agent whose figures a test decides.
type played struct {
	status api.AgentStatus
	err    error
}

func (p played) AgentStatus(context.Context) (api.AgentStatus, error) { return p.status, p.err }

func scrape(t *testing.T, agent played) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	MetricsHandler(agent).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return recorder
}

func TestMetrics(t *testing.T) {
	settled := time.UnixMilli(1_700_000_000_250)
	answer := scrape(t, played{status: api.AgentStatus{
		Version: `v"1`, Kernel: "6.6", StartedAt: time.Unix(1_700_000_000, 0),
		Interfaces: []api.InterfaceStatus{{Name: "br-lan", Attached: true, UnprotectedMS: 1250}, {Name: "wlan0"}},
		Counts:     api.Counts{Devices: 3, Connected: 2, Sessions: map[string]int{"paused": 4}, Clients: 2, MaxClients: 4096, LastEvent: 77},
		Health: api.Health{LastSettleAt: &settled, Active: []api.ActiveProblem{
			{Code: "provider_unavailable", Subject: "shop"}, {Code: "provider_unavailable", Subject: "bank"}, {Code: "not_attached", Interface: "wlan0"},
		}},
		Passes: []api.PacketCount{{Direction: "down", Reason: "forwarded", Frames: 5, Bytes: 9007199254740992}},
		Drops:  []api.PacketCount{{Direction: "up", Reason: "no_rule", Frames: 7, Bytes: 700}, {Direction: "down", Reason: "rate"}},
	}})
	if answer.Code != 200 || !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
	text := answer.Body.String()
	for _, want := range []string{
		`hotspot_build_info{version="v\"1",kernel="6.6"} 1`, "hotspot_start_time_seconds 1700000000", "hotspot_last_settle_time_seconds 1700000000.25",
		`hotspot_interface_attached{interface="br-lan"} 1`, `hotspot_interface_attached{interface="wlan0"} 0`, "hotspot_healthy 0", "hotspot_clock_sane 0",
		`hotspot_health_problem{code="provider_unavailable",interface=""} 1`, `hotspot_health_problem{code="not_attached",interface="wlan0"} 1`,
		`hotspot_interface_unprotected_seconds_total{interface="br-lan"} 1.25`, "hotspot_devices 3", "hotspot_connected_devices 2", `hotspot_sessions{state="paused"} 4`, `hotspot_sessions{state="running"} 0`, "hotspot_events_total 77",
		`hotspot_passed_bytes_total{direction="down",reason="forwarded"} 9007199254740992`, `hotspot_dropped_frames_total{direction="up",reason="no_rule"} 7`,
		`hotspot_dropped_bytes_total{direction="down",reason="rate"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if n := strings.Count(text, `{code="provider_unavailable"`); n != 1 {
		t.Errorf("%d samples of the same labels", n)
	}
	checkFormat(t, text)
	if answer := scrape(t, played{err: errors.New("secret")}); answer.Code != 503 || strings.Contains(answer.Body.String(), "secret") {
		t.Errorf("without figures: %d %s", answer.Code, answer.Body)
	}
}

var sampleLine = regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? -?[0-9.e+-]+$`)

// checkFormat: each of our names is declared once, before its samples.
func checkFormat(t *testing.T, text string) {
	t.Helper()
	declared := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# TYPE hotspot"); ok {
			name, _, _ = strings.Cut(name, " ")
			declared["hotspot"+name]++
		}
		if strings.HasPrefix(line, "hotspot") {
			match := sampleLine.FindStringSubmatch(line)
			if match == nil || declared[match[1]] != 1 {
				t.Errorf("not in the format: %s (declared %d times)", line, declared[match[1]])
			}
		}
	}
}

func TestStateLock(t *testing.T) {
	dir := t.TempDir() + "/state"
	if HoldsState(dir) {
		t.Error("a folder that is not there is held")
	}
	lock, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockState(dir); err == nil || !strings.Contains(err.Error(), "in use by a running agent") {
		t.Errorf("locked twice: %v", err)
	}
	if !HoldsState(dir) {
		t.Error("a held folder is free")
	}
	if err := lock.release(); err != nil {
		t.Fatal(err)
	}
	if HoldsState(dir) {
		t.Error("a released folder is held")
	}
}

func TestTallies(t *testing.T) {
	passes, drops, answers := tallies([]dataplane.Traffic{
		{Direction: "upload", Reason: "pass_local", Frames: 1, Bytes: 2}, {Direction: "download", Reason: "drop_rate", Frames: 3, Bytes: 4},
		{Direction: "upload", Reason: "answer_tls_alert", Frames: 5, Bytes: 6},
	})
	want := []api.PacketCount{{Direction: "up", Reason: "local", Frames: 1, Bytes: 2}}
	if diff := cmp.Diff(want, passes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]api.PacketCount{{Direction: "down", Reason: "rate", Frames: 3, Bytes: 4}}, drops); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]api.PacketCount{{Direction: "up", Reason: "tls_alert", Frames: 5, Bytes: 6}}, answers); diff != "" {
		t.Error(diff)
	}
}

// Health names a provider that does not work, since when, and why.
func TestHealthOfProviders(t *testing.T) {
	since := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	outage := sessions.Outage{Provider: "shop", Since: since, Cause: errors.New("did not answer in time")}
	rules := sessions.Health{ClockSane: true, Outages: []sessions.Outage{outage}}
	h := health(rules, problemsOf(nil, rules, nil))
	want := []string{`session provider "shop" does not work since 2026-03-01T08:00:00Z: did not answer in time`}
	if diff := cmp.Diff(want, h.Problems); diff != "" || h.OK {
		t.Errorf("ok %v, problems (-want +got):\n%s", h.OK, diff)
	}
}
