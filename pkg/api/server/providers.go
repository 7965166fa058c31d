// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/url"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type providerHandlers struct{ backend }

func (h providerHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/providers", handler: h.list},
		{method: "POST", path: "/v1/providers", handler: h.register},
		{method: "DELETE", path: "/v1/providers/{name}", handler: h.unregister},
	}
}

func (h providerHandlers) list(c *call) (*reply, error) {
	records, err := h.rules.Providers(c.Context())
	if err != nil {
		return nil, err
	}
	return ok(wire.Each(records, func(r sessions.ProviderRecord) api.Provider { return api.Provider(r) }))
}

func (h providerHandlers) register(c *call) (*reply, error) {
	record, err := providerFrom(c.body)
	if err != nil {
		return nil, err
	}
	if err := h.rules.RegisterProvider(c.Context(), record); err != nil {
		return nil, err
	}
	return created("/v1/providers/"+url.PathEscape(record.Name), api.Provider(record))
}

func providerFrom(body []byte) (sessions.ProviderRecord, error) {
	o := wire.ReadObject(body, "name", "socket")
	return sessions.ProviderRecord{Name: o.String("name"), Socket: o.String("socket")}, o.Err()
}

func (h providerHandlers) unregister(c *call) (*reply, error) {
	if err := h.rules.UnregisterProvider(c.Context(), c.PathValue("name")); err != nil {
		return nil, err
	}
	return done()
}
