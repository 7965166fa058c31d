// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const (
	mediaType = "application/captive+json" // RFC 8908, section 4.2
	maxAnswer = 4096                       // bytes: what Android takes
	// renewWithin is when a certificate is reported that was not renewed yet. ACME clients
	// renew a month before.
	renewWithin = 7 * 24 * time.Hour
)

// checkAPI asks the API as a phone does that was given its URL.
func (p Path) checkAPI(ctx context.Context) []Finding {
	const check = "captive API"
	if p.API == "" {
		return nil
	}
	fail := func(detail, advice string) []Finding { return []Finding{{check, Fail, detail, advice}} }
	at, err := url.Parse(p.API)
	if err != nil {
		return fail(err.Error(), "correct captive.api")
	}
	if obstacle, advice := p.reach(ctx, at); obstacle != "" {
		return fail(obstacle, advice)
	}
	got, err := p.get(ctx, p.API, mediaType)
	if err != nil {
		return fail(explain(at, err, p.Now()))
	}
	found := p.checkExpiry(at, got)
	state, err := stateOf(got)
	if err != nil {
		return append(fail(fmt.Sprintf("%s: %v", p.API, err), "serve it by the SDK's CaptiveHandler, or pass on GET /v1/captive; curl -i "+p.API), found...)
	}
	return append([]Finding{{check, OK, fmt.Sprintf("%s says where the portal is: %s", p.API, state.UserPortalURL), ""}}, found...)
}

// stateOf decodes an answer that phones take.
func stateOf(got answer) (state api.CaptiveState, err error) {
	kind, _, _ := mime.ParseMediaType(got.header.Get("Content-Type"))
	switch {
	case got.code != http.StatusOK:
		return state, fmt.Errorf("answers %s, want 200", got.status)
	case kind != mediaType:
		return state, fmt.Errorf("answers with media type %q, want %s (RFC 8908)", kind, mediaType)
	case len(got.text) > maxAnswer:
		return state, fmt.Errorf("answers with %d bytes or more, Android takes %d", len(got.text), maxAnswer)
	}
	var keys struct{ Captive *bool }
	if err := errors.Join(json.Unmarshal(got.text, &keys), json.Unmarshal(got.text, &state)); err != nil {
		return state, fmt.Errorf("answers with what is no JSON of RFC 8908: %w", err)
	}
	switch {
	case keys.Captive == nil:
		return state, errors.New(`answers without the key "captive"`)
	case state.Captive && !strings.HasPrefix(state.UserPortalURL, "https://"):
		return state, fmt.Errorf("answers with the user-portal-url %q: want an https URL (RFC 8908)", state.UserPortalURL)
	}
	return state, nil
}

// checkExpiry judges for how long the certificate of an answer is valid.
func (p Path) checkExpiry(at *url.URL, got answer) []Finding {
	if got.tls == nil {
		return nil
	}
	check := "captive certificate " + at.Hostname()
	until := got.tls.PeerCertificates[0].NotAfter
	f := Finding{check, OK, "valid until " + until.UTC().Format(time.DateOnly), ""}
	if until.Sub(p.Now()) < renewWithin {
		f.Level, f.Detail = Warn, "expires on "+until.UTC().Format(time.DateTime)+" UTC, and was not renewed"
		f.Advice = "renew it now, and see why the client that renews it (certbot, acme.sh, lego) did not: certbot renew"
	}
	return []Finding{f}
}

// VerifyCertificate reports why phones would not take the API's certificate: it connects, and
// verifies the chain and the host's name.
func (p Path) VerifyCertificate(ctx context.Context) error {
	at, err := url.Parse(p.API)
	if err != nil {
		return err
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: stepTimeout, Resolver: p.resolver()}, Config: p.tls()}
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(at))
	if err != nil {
		detail, advice := explain(at, err, p.Now())
		return fmt.Errorf("%s; %s", detail, advice)
	}
	return conn.Close()
}

// explain says what is wrong with a connection, and what to do.
func explain(at *url.URL, err error, now time.Time) (detail, advice string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	look := fmt.Sprintf("openssl s_client -connect %s -servername %s", hostPort(at), at.Hostname())
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(dataplane.EarliestClock):
		return "the clock of this router shows " + now.UTC().Format(time.DateTime) + ": no certificate is valid by it", "set it, or let an NTP client do so"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of %s is not valid now: %v", at.Host, invalid), "renew it: certbot renew"
	case errors.As(err, &unknown):
		return fmt.Sprintf("the certificate of %s is of an authority that phones do not know", at.Host), "get one of a public authority (by DNS-01 also for a private address), and serve its whole chain; " + look
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate of %s is for another name: %v", at.Host, name), "get one for " + at.Hostname() + "; " + look
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Sprintf("%s does not answer: %v", at.Host, reason(err)), "start the portal, and see that it listens: curl -i " + at.String()
}

func hostPort(at *url.URL) string { return net.JoinHostPort(at.Hostname(), fmt.Sprint(portOf(at))) }
