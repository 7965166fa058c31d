// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
)

// NewClaim is the body of POST /v1/claims.
type NewClaim struct {
	Code   string `json:"code"`
	Device string `json:"device"` // id, MAC or IP that the purchase goes to; a MAC not yet known becomes a device
}

// Claim is the code of a session, anew.
type Claim struct {
	// Claim is to be printed: it is not stored, and no later answer contains it.
	Claim string `json:"claim"`
}

type claimCalls struct{ agent *transport }

// Claim moves the purchase of a code to a device: a session that runs continues there,
// and the device that it leaves is cut off. The code stays valid. NotFound for a wrong
// code, Unavailable when too many wrong ones were tried lately.
func (c claimCalls) Claim(ctx context.Context, code, device string) (Session, error) {
	return fetch[Session](ctx, c.agent, http.MethodPost, "/v1/claims", NewClaim{Code: code, Device: device})
}

// RenewClaim gives a session a new code, instead of one that was lost: that one is
// worthless then.
func (c claimCalls) RenewClaim(ctx context.Context, id int64) (Claim, error) {
	return fetch[Claim](ctx, c.agent, http.MethodPost, sessionPath(id)+"/claim", nil)
}

// RevokeClaim revokes the code of a session; NotFound when it has none.
func (c claimCalls) RevokeClaim(ctx context.Context, id int64) error {
	_, err := c.agent.Do(ctx, http.MethodDelete, sessionPath(id)+"/claim", nil)
	return err
}
