// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// plane is what the API needs of the kernel; pkg/dataplane/linux has it.
type plane interface {
	HoldersOf(ip netip.Addr, ifname string) ([]dataplane.Holder, error)
	Status() dataplane.Status
	Garden() (dataplane.GardenStatus, error)
	Problems() []dataplane.Problem
}

// Service is the rules as the API calls them, and what needs more than rules.
// Safe for concurrent use.
type Service struct {
	*manager.Manager
	plane   plane
	version string
	started time.Time

	problems func(context.Context) []dataplane.Problem // of the database; may be nil
}

// NewService joins the rules with the kernel's view.
func NewService(manager *manager.Manager, plane plane, version string, started time.Time) *Service {
	return &Service{Manager: manager, plane: plane, version: version, started: started}
}

// AgentStatus describes the agent now.
func (s *Service) AgentStatus(ctx context.Context) (api.AgentStatus, error) {
	summary, err := s.Summary(ctx)
	if err != nil {
		return api.AgentStatus{}, err
	}
	providers, err := s.Providers(ctx)
	if err != nil {
		return api.AgentStatus{}, err
	}
	plane := s.plane.Status()
	status := api.AgentStatus{
		Version: s.version, Kernel: plane.Kernel, AttachMode: attachMode(plane.Interfaces), StartedAt: s.started,
		Limiter: string(plane.Limiter),
		Counts: api.Counts{
			Devices: summary.Devices, Visitors: summary.Visitors, Connected: summary.Connected, Sessions: map[string]int{},
			Clients: plane.Clients, MaxClients: plane.MaxClients, Providers: len(providers), LastEvent: summary.LastSeq, Generation: summary.Generation.String(),
		},
		Health: health(summary.Health, problemsOf(plane.Problems, summary.Health, s.storeProblems(ctx))),
	}
	for state, n := range summary.Sessions {
		status.Counts.Sessions[string(state)] = n
	}
	for _, i := range plane.Interfaces {
		status.Interfaces = append(status.Interfaces, interfaceStatus(i))
	}
	status.Garden = api.GardenCounts(plane.Garden)
	status.Passes, status.Drops, status.Answers = tallies(plane.Traffic)
	return status, nil
}

// Problems returns what does not work now, of all parts.
func (s *Service) Problems(ctx context.Context) []dataplane.Problem {
	return problemsOf(s.plane.Problems(), s.Health(), s.storeProblems(ctx))
}

func (s *Service) storeProblems(ctx context.Context) []dataplane.Problem {
	if s.problems == nil {
		return nil
	}
	return s.problems(ctx)
}

func health(rules sessions.Health, problems []dataplane.Problem) api.Health {
	h := api.Health{OK: len(problems) == 0, ClockSane: rules.ClockSane}
	for _, p := range problems {
		h.Problems = append(h.Problems, p.Detail)
		h.Active = append(h.Active, api.ActiveProblem{Code: string(p.Code), Interface: p.Interface, Subject: p.Subject, Detail: p.Detail, Exposed: p.Exposed})
	}
	if !rules.LastSettle.IsZero() {
		at := rules.LastSettle.UTC()
		h.LastSettleAt = &at
	}
	return h
}

func interfaceStatus(i dataplane.Interface) api.InterfaceStatus {
	status := api.InterfaceStatus{Name: i.Name, Index: i.Index, Attached: i.Attached, Mode: string(i.Mode), Port: i.Port,
		UnprotectedMS: i.UnprotectedFor.Milliseconds()}
	if i.Since != 0 {
		since := time.Now().Add(i.Since.Sub(linux.BootNow())).UTC()
		status.Since = &since
	}
	return status
}

// attachMode is the mode of all attached interfaces, "mixed", or "none".
func attachMode(interfaces []dataplane.Interface) string {
	mode := ""
	for _, i := range interfaces {
		if i.Attached {
			if mode != "" && mode != string(i.Mode) {
				return "mixed"
			}
			mode = string(i.Mode)
		}
	}
	return cmp.Or(mode, "none")
}

var directionNames = map[string]string{"upload": "up", "download": "down"}

// tallies splits "pass_local", "drop_rate" and "answer_reset" into lists of their reasons.
func tallies(traffic []dataplane.Traffic) (passes, drops, answers []api.PacketCount) {
	for _, t := range traffic {
		count := api.PacketCount{Direction: cmp.Or(directionNames[t.Direction], t.Direction), Frames: t.Frames, Bytes: t.Bytes}
		kind, reason, _ := strings.Cut(t.Reason, "_")
		count.Reason = reason
		switch kind {
		case "pass":
			passes = append(passes, count)
		case "drop":
			drops = append(drops, count)
		case "answer":
			answers = append(answers, count)
		}
	}
	return passes, drops, answers
}
