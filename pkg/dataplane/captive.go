// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Captive says what a device that may not pass is answered. The zero value: nothing.
type Captive struct {
	// Redirect is the URL of the portal's page: HTTP of any address is answered by a
	// redirect to it. "" turns all answers off.
	Redirect string
	HTTPS    HTTPSAnswer // default HTTPSReset
	// Unreachable: UDP and other protocols are answered by an ICMP error.
	Unreachable bool
	// EndedQuiet is how long after the end of a session only HTTP is answered. Some
	// devices look for a portal only when their connections time out.
	EndedQuiet time.Duration
}

// HTTPSAnswer is how TCP other than HTTP is answered.
type HTTPSAnswer string

// The answers to TCP other than HTTP.
const (
	HTTPSReset HTTPSAnswer = "reset" // connections are refused
	HTTPSAlert HTTPSAnswer = "alert" // port 443 by a TLS alert, the rest is refused
	HTTPSDrop  HTTPSAnswer = "drop"  // connections time out
)

// MaxRedirectBytes bounds the URL of a redirect: the response is a single segment of the
// smallest size that every host takes.
const MaxRedirectBytes = 160

// MaxEndedQuiet bounds Captive.EndedQuiet.
const MaxEndedQuiet = time.Hour

// Check returns an error that names field and value.
func (c Captive) Check() error {
	if c.Redirect == "" {
		return nil
	}
	if err := CheckRedirect(c.Redirect); err != nil {
		return fmt.Errorf("captive.redirect: %w", err)
	}
	switch c.HTTPS {
	case HTTPSReset, HTTPSAlert, HTTPSDrop:
	default:
		return fmt.Errorf("captive.https %q: want %s, %s or %s", c.HTTPS, HTTPSReset, HTTPSAlert, HTTPSDrop)
	}
	if c.EndedQuiet < 0 || c.EndedQuiet > MaxEndedQuiet {
		return fmt.Errorf("captive.ended_quiet %v: want 0 to %v", c.EndedQuiet, MaxEndedQuiet)
	}
	return nil
}

// CheckRedirect returns an error that names the value which is no URL of a portal.
func CheckRedirect(text string) error {
	if len(text) > MaxRedirectBytes {
		return fmt.Errorf("%q: %d bytes, at most %d fit the response", text, len(text), MaxRedirectBytes)
	}
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q: want a URL like http://10.0.0.1/", text)
	}
	if bad := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>\^`+"`{|}", r) }); bad >= 0 {
		return fmt.Errorf("%q: byte %d is not one of a URL; write it as %%XX", text, bad)
	}
	return nil
}
