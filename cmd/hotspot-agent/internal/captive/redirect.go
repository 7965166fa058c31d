// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// maxHops is how many redirects browsers follow at most (RFC 9110, 15.4, has no number).
const maxHops = 10

// checkRedirect follows the redirect of the kernel to the portal's page.
func (p Path) checkRedirect(ctx context.Context) []Finding {
	if p.Redirect == "" {
		return nil
	}
	const check = "captive redirect"
	fail := func(detail, advice string) []Finding { return []Finding{{check, Fail, detail, advice}} }
	at, err := url.Parse(p.Redirect)
	if err != nil {
		return fail(err.Error(), "correct captive.redirect")
	}
	for seen := []string{}; ; {
		switch {
		case slices.Contains(seen, at.String()) || len(seen) == maxHops:
			return fail(fmt.Sprintf("%s leads to %s again and again: phones never see a page", p.Redirect, at), "curl -sIL "+p.Redirect)
		case slices.Contains(probes, at.Hostname()):
			return fail(fmt.Sprintf("%s leads back to %s, which is redirected to it: a loop", p.Redirect, at), "have the portal show a page in place of that redirect")
		}
		if obstacle, advice := p.reach(ctx, at); obstacle != "" {
			return fail(obstacle, advice)
		}
		got, err := p.get(ctx, at.String(), "")
		if err != nil {
			return fail(explain(at, err, p.Now()))
		}
		if got.next == nil || got.code < http.StatusMultipleChoices || got.code >= http.StatusBadRequest {
			return append(checkPage(check, at, got), p.checkExpiry(at, got)...)
		}
		seen, at = append(seen, at.String()), got.next
	}
}

// checkPage judges the answer that a phone would show.
func checkPage(check string, at *url.URL, got answer) []Finding {
	switch {
	case got.code >= http.StatusBadRequest:
		return []Finding{{check, Warn, fmt.Sprintf("%s answers %s to the router, which is no device; phones may get a page", at, got.status), "open it on a phone that has not paid"}}
	case got.code != http.StatusOK || len(got.text) == 0:
		return []Finding{{check, Fail, fmt.Sprintf("%s answers %s without a page", at, got.status), "curl -i " + at.String()}}
	}
	return []Finding{{check, OK, at.String() + " answers with a page, and is open before paying", ""}}
}

// answer is one of a web server, with what is read of its body.
type answer struct {
	code   int
	status string
	header http.Header
	tls    *tls.ConnectionState // nil without
	text   []byte
	next   *url.URL // where a redirect leads; nil for none
}

// get asks a server. It reads more of a body than any page needs to be one.
func (p Path) get(ctx context.Context, address, accept string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := p.client().Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 2*maxAnswer))
	next, _ := response.Location()
	return answer{response.StatusCode, response.Status, response.Header, response.TLS, text, next}, err
}
