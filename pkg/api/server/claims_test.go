// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/apitest"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Only a right code makes a device of a MAC not yet known.
func TestWrongClaimMakesNoDevice(t *testing.T) {
	a := startAgent(t, Options{})
	sold := apitest.Must(a.client.CreateSession(t.Context(), api.NewSession{Device: firstMAC, Type: "time", TimeSecs: 60}))(t)
	_, err := a.client.Claim(t.Context(), "0000-0000-0000", secondMAC)
	if sessions.CodeOf(err) != sessions.NotFound {
		t.Errorf("a wrong code: %v", err)
	}
	if device, err := a.client.Device(t.Context(), secondMAC); sessions.CodeOf(err) != sessions.NotFound {
		t.Errorf("a wrong code made %+v, %v", device, err)
	}
	claimed := apitest.Must(a.client.Claim(t.Context(), sold.Claim, secondMAC))(t)
	if device := apitest.Must(a.client.Device(t.Context(), secondMAC))(t); claimed.DeviceID != device.ID {
		t.Errorf("claimed %+v for %+v", claimed, device)
	}
}

// A code that was lost is replaced by another, for the same purchase.
func TestRenewedCode(t *testing.T) {
	a := startAgent(t, Options{})
	sold := apitest.Must(a.client.CreateSession(t.Context(), api.NewSession{Device: firstMAC, Type: "time", TimeSecs: 60}))(t)
	renewed := apitest.Must(a.client.RenewClaim(t.Context(), sold.ID))(t)
	_, err := a.client.Claim(t.Context(), sold.Claim, secondMAC)
	apitest.WantCode(t, err, sessions.NotFound)
	if claimed, err := a.client.Claim(t.Context(), renewed.Claim, secondMAC); err != nil || claimed.ID != sold.ID {
		t.Errorf("the new code brings %+v, %v", claimed, err)
	}
	if err := a.client.RevokeClaim(t.Context(), sold.ID); err != nil {
		t.Fatal(err)
	}
	apitest.Must(a.client.RenewClaim(t.Context(), sold.ID))(t) // also of one that was revoked
	_, err = a.client.RenewClaim(t.Context(), 99)
	apitest.WantCode(t, err, sessions.NotFound, "99")
}
