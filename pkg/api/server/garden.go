// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
)

type gardenHandlers struct{ backend }

func (h gardenHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/garden", handler: h.list},
		{method: "GET", path: "/v1/garden/{name}", handler: h.test},
	}
}

func (h gardenHandlers) list(c *call) (*reply, error) {
	garden, err := h.agent.Garden(c.Context())
	if err != nil {
		return nil, err
	}
	garden.Networks, garden.Names = wire.Each(garden.Networks, same[string]), wire.Each(garden.Names, same[string])
	garden.Ports = wire.Each(garden.Ports, same[uint16])
	garden.Addresses = wire.Each(garden.Addresses, same[api.GardenAddress])
	return ok(garden)
}

func (h gardenHandlers) test(c *call) (*reply, error) {
	test, err := h.agent.TestGarden(c.Context(), c.PathValue("name"))
	if err != nil {
		return nil, err
	}
	test.Addresses = wire.Each(test.Addresses, same[api.GardenTestAddress])
	return ok(test)
}

// same leaves a value as it is: an empty list is no null in JSON.
func same[T any](v T) T { return v }
