// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hotspot-agent/hotspot-agent/pkg/api/internal/wire"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// CaptiveState is what a device is answered that asks whether it is captive: RFC 8908,
// section 5.
type CaptiveState struct {
	Captive          bool    `json:"captive"`
	UserPortalURL    string  `json:"user-portal-url"`
	VenueInfoURL     string  `json:"venue-info-url,omitempty"`
	CanExtendSession bool    `json:"can-extend-session,omitempty"`
	SecondsRemaining *int64  `json:"seconds-remaining,omitempty"` // of the running session, where it ends by time
	BytesRemaining   *uint64 `json:"bytes-remaining,omitempty"`   // of the running session, where it ends by data
}

// CaptivePages is what a portal says of itself to devices that ask whether they are captive.
type CaptivePages struct {
	Portal    string // https URL of its page; RFC 8908 has no other
	Venue     string // http or https URL about the place; "" for none
	CanExtend bool   // its page sells more to a device that is connected
}

// maxPageURL bounds the URL of a page: two of them fit an answer of 4096 bytes, which is as much
// as Android takes, with what JSON makes of an ampersand.
const maxPageURL = 300

// Check returns an Invalid error that names field and value.
func (p CaptivePages) Check() error {
	if err := checkPage("portal", p.Portal, "https"); err != nil {
		return err
	}
	if p.Venue == "" {
		return nil
	}
	return checkPage("venue", p.Venue, "https", "http")
}

func checkPage(field, text string, schemes ...string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return sessions.Invalidf(field, "is missing: captive devices are sent to an https page (RFC 8908)")
	case err != nil:
		return sessions.Invalidf(field, "%q is not a URL", text)
	case len(text) > maxPageURL:
		return sessions.Invalidf(field, "%q: %d bytes, want at most %d", text, len(text), maxPageURL)
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme && u.Hostname() != "" {
			return nil
		}
	}
	return sessions.Invalidf(field, "%q: want a URL like %s://portal.example/ (RFC 8908)", text, schemes[0])
}

type captiveCalls struct{ agent *transport }

// Captive returns what a portal answers the device behind an address of a client network
// that asks whether it is captive. Pages without a Portal has that of the agent's
// configuration. A device that the agent does not see is captive. Codes: Invalid.
func (c captiveCalls) Captive(ctx context.Context, ip string, pages CaptivePages) (CaptiveState, error) {
	args := url.Values{"ip": {ip}}
	for name, value := range map[string]string{"portal": pages.Portal, "venue": pages.Venue} {
		if value != "" {
			args.Set(name, value)
		}
	}
	if pages.CanExtend {
		args.Set("can_extend", "true")
	}
	return fetch[CaptiveState](ctx, c.agent, http.MethodGet, "/v1/captive?"+args.Encode(), nil)
}

// CaptiveHandler serves the Captive Portal API of RFC 8908 to the device that sends the
// request, found as by [Http.GetClientDevice]. It belongs on the https URL that captive.api
// in the agent's configuration announces, and answers on any path. A device that the agent
// does not see, as by an IPv6 address that is minutes old, is captive. Without an agent the
// answer is 503: phones then look for the portal in their other ways. Codes: Invalid.
func (c captiveCalls) CaptiveHandler(pages CaptivePages) (http.Handler, error) {
	if err := pages.Check(); err != nil {
		return nil, err
	}
	return captiveHandler{c, pages}, nil
}

type captiveHandler struct {
	calls captiveCalls
	pages CaptivePages
}

func (h captiveHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// An answer is one device's, for now: RFC 8908, section 4.2.
	w.Header().Set("Cache-Control", "private, no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	state, err := h.state(r)
	if err != nil {
		http.Error(w, "no answer of the agent", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", wire.TypeCaptive)
	_, _ = w.Write(wire.JSON(state)) // an error means that the device went away
}

// state has a device without an address captive: nothing is known of it.
func (h captiveHandler) state(r *http.Request) (CaptiveState, error) {
	ip, _ := clientAddr(r)
	if !ip.IsValid() {
		return CaptiveState{
			Captive: true, UserPortalURL: h.pages.Portal, VenueInfoURL: h.pages.Venue, CanExtendSession: h.pages.CanExtend,
		}, nil
	}
	return h.calls.Captive(r.Context(), ip.String(), h.pages)
}
