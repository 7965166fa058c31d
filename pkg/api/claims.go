// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// NewClaim is the body of POST /v1/claims.
type NewClaim struct {
	Code   string `json:"code"`
	Device string `json:"device"` // id, MAC or IP that the purchase goes to; a MAC not yet known becomes a device
}

func claimFrom(body []byte) (NewClaim, error) {
	o := readObject(body, "code", "device")
	claim := NewClaim{Code: o.string("code"), Device: o.deviceRef("device")}
	if claim.Code == "" {
		o.fail("code", "missing (want the code that was printed with the purchase)")
	}
	return claim, o.err
}

func (s *Server) claim(c *call) (*reply, error) {
	claim, err := claimFrom(c.body)
	if err != nil {
		return nil, err
	}
	session, err := s.service.Claim(c.Context(), claim.Code, func() (sessions.DeviceID, error) {
		return s.deviceOrNew(c, claim.Device, nothing)
	})
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (s *Server) moveSession(c *call, id sessions.SessionID, to string) (*reply, error) {
	if _, err := s.service.Session(c.Context(), id); err != nil {
		return nil, err
	}
	device, err := s.deviceOrNew(c, to, nothing)
	if err != nil {
		return nil, err
	}
	session, err := s.service.MoveSession(c.Context(), id, device)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

// nothing speaks against a new device.
func nothing() error { return nil }

func (s *Server) revokeClaim(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	if err := s.service.RevokeClaim(c.Context(), id); err != nil {
		return nil, err
	}
	return done()
}

// Claim takes the purchase of a code to a device: a session that runs goes on there,
// and the device that it leaves is cut off. The code stays valid. NotFound for a wrong
// code, Unavailable when too many wrong ones were tried lately.
func (c *Client) Claim(ctx context.Context, code, device string) (Session, error) {
	return fetch[Session](ctx, c, http.MethodPost, "/v1/claims", NewClaim{Code: code, Device: device})
}

// RevokeClaim makes the code of a session worthless; NotFound when it has none.
func (c *Client) RevokeClaim(ctx context.Context, id int64) error {
	_, err := c.Do(ctx, http.MethodDelete, sessionPath(id)+"/claim", nil)
	return err
}

// MoveSession gives a session to another device, as Claim does without its code.
func (c *Client) MoveSession(ctx context.Context, id int64, device string) (Session, error) {
	return fetch[Session](ctx, c, http.MethodPatch, sessionPath(id), sessionMove{device})
}

type sessionMove struct {
	Device string `json:"device"`
}

// ClaimSession takes the purchase of a code to a device, as a customer whose phone has
// a new MAC asks for it, and returns the session.
func (m *SessionsMgr) ClaimSession(ctx context.Context, clnt ClientDevice, code string) (ClientSession, error) {
	device, err := refOf(clnt)
	if err != nil {
		return nil, err
	}
	session, err := m.api.client.Claim(ctx, code, device)
	if err != nil {
		return nil, err
	}
	return newClientSession(m.api.client, session), nil
}
