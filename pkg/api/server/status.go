// SPDX-License-Identifier: Apache-2.0

package server

import (
	_ "embed"
	"encoding/json"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

//go:embed openapi.json
var openAPI []byte

type statusHandlers struct{ backend }

func (h statusHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/openapi.json", handler: h.openAPI},
		{method: "GET", path: "/v1/status", handler: h.status},
	}
}

func (h statusHandlers) openAPI(*call) (*reply, error) { return ok(json.RawMessage(openAPI)) }

func (h statusHandlers) status(c *call) (*reply, error) {
	status, err := h.agent.AgentStatus(c.Context())
	if err != nil {
		return nil, err
	}
	return ok(normal(status))
}

// normal makes what would be null in JSON empty, and times UTC.
func normal(s api.AgentStatus) api.AgentStatus {
	s.StartedAt = s.StartedAt.UTC()
	s.Interfaces = wire.Each(s.Interfaces, func(i api.InterfaceStatus) api.InterfaceStatus {
		i.Since = utc(i.Since)
		return i
	})
	s.Drops = wire.Each(s.Drops, func(c api.PacketCount) api.PacketCount { return c })
	s.Passes = wire.Each(s.Passes, func(c api.PacketCount) api.PacketCount { return c })
	s.Health.Problems = wire.Each(s.Health.Problems, func(p string) string { return p })
	s.Health.Active = wire.Each(s.Health.Active, func(p api.ActiveProblem) api.ActiveProblem { return p })
	s.Health.LastSettleAt = utc(s.Health.LastSettleAt)
	if s.Counts.Sessions == nil {
		s.Counts.Sessions = map[string]int{}
	}
	return s
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return wire.TimeOf(*t)
}
