// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

type captiveHandlers struct {
	backend
	portal string // the page where the request names none
}

func (h captiveHandlers) routes() []route {
	return []route{
		{method: "GET", path: "/v1/captive", query: []string{"ip", "interface", "portal", "venue", "can_extend"}, handler: h.state, writesOnRead: true},
	}
}

// state answers as the portal answers a phone. A device that is not seen, or whose address
// several have, is captive: a phone that gets an error asks no more.
func (h captiveHandlers) state(c *call) (*reply, error) {
	ip, ifname, isIP := sessions.SplitAddress(onInterface(c, c.args.Get("ip")))
	if !isIP {
		return nil, sessions.Invalidf("ip", "%q is not an IP address", c.args.Get("ip"))
	}
	state, err := h.pages(c)
	if err != nil {
		return nil, err
	}
	status := sessions.Status{}
	device, err := h.agent.Resolve(c.Context(), ip, ifname)
	if err == nil {
		status, err = h.rules.Status(c.Context(), device.ID)
	}
	if code := sessions.CodeOf(err); err != nil && code != sessions.NotFound && code != sessions.Conflict {
		return nil, err
	}
	return &reply{status: 200, media: wire.TypeCaptive, body: captiveState(state, status)}, nil
}

// pages are the part of the answer that is the portal's own.
func (h captiveHandlers) pages(c *call) (api.CaptiveState, error) {
	pages := api.CaptivePages{Portal: cmp.Or(c.args.Get("portal"), h.portal), Venue: c.args.Get("venue")}
	switch extend := c.args.Get("can_extend"); extend {
	case "", "false":
	case "true":
		pages.CanExtend = true
	default:
		return api.CaptiveState{}, sessions.Invalidf("can_extend", "%q: want true or false", extend)
	}
	if err := pages.Check(); err != nil {
		return api.CaptiveState{}, err
	}
	return api.CaptiveState{UserPortalURL: pages.Portal, VenueInfoURL: pages.Venue, CanExtendSession: pages.CanExtend}, nil
}

// captiveState adds what is left to a device: RFC 8908, section 5.
func captiveState(state api.CaptiveState, s sessions.Status) api.CaptiveState {
	state.Captive = !s.Connected
	if s.Session == nil || state.Captive {
		return state
	}
	if left, bounded := s.Session.TimeLeft(s.At); bounded {
		seconds := int64(left / time.Second)
		state.SecondsRemaining = &seconds
	}
	if s.Session.Type.Metered() {
		bytes := s.Session.RemainingBytes()
		state.BytesRemaining = &bytes
	}
	return state
}
