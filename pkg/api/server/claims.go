// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type claimHandlers struct{ backend }

func (h claimHandlers) routes() []route {
	return []route{
		{method: "POST", path: "/v1/claims", query: onOne, handler: h.claim, sold: changed},
		{method: "POST", path: "/v1/sessions/{id}/claim", handler: h.renew},
		{method: "DELETE", path: "/v1/sessions/{id}/claim", handler: h.revoke},
	}
}

func (h claimHandlers) claim(c *call) (*reply, error) {
	claim, err := claimFrom(c.body)
	if err != nil {
		return nil, err
	}
	session, err := h.rules.Claim(c.Context(), claim.Code, func() (sessions.DeviceID, error) {
		return h.deviceOrNew(c, claim.Device)
	})
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func claimFrom(body []byte) (api.NewClaim, error) {
	o := wire.ReadObject(body, "code", "device")
	claim := api.NewClaim{Code: o.String("code"), Device: o.DeviceRef("device")}
	if claim.Code == "" {
		o.Fail("code", "missing (want the code that was printed with the purchase)")
	}
	return claim, o.Err()
}

func (h claimHandlers) renew(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	if err := wire.ReadObject(c.body).Err(); err != nil {
		return nil, err
	}
	code, err := h.rules.RenewClaim(c.Context(), id)
	if err != nil {
		return nil, err
	}
	return ok(api.Claim{Claim: code})
}

func (h claimHandlers) revoke(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	if err := h.rules.RevokeClaim(c.Context(), id); err != nil {
		return nil, err
	}
	return done()
}
