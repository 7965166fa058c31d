// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"context"
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
		answer, err := p.get(ctx, at.String(), "")
		if err != nil {
			return fail(explain(at, err, p.Now()))
		}
		next, err := answer.Location()
		if err != nil {
			return append(p.checkPage(check, at, answer), p.checkExpiry(at, answer)...)
		}
		seen, at = append(seen, at.String()), next
	}
}

// checkPage judges the answer that a phone would show.
func (p Path) checkPage(check string, at *url.URL, answer *http.Response) []Finding {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1))
	switch {
	case answer.StatusCode >= http.StatusBadRequest:
		return []Finding{{check, Warn, fmt.Sprintf("%s answers %s to the router, which is no device; phones may get a page", at, answer.Status), "open it on a phone that has not paid"}}
	case answer.StatusCode != http.StatusOK || len(text) == 0:
		return []Finding{{check, Fail, fmt.Sprintf("%s answers %s without a page", at, answer.Status), "curl -i " + at.String()}}
	}
	return []Finding{{check, OK, at.String() + " answers with a page, and is open before paying", ""}}
}

// get returns an answer whose body has arrived.
func (p Path) get(ctx context.Context, address, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := p.client().Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	answer.Body = newBody(text)
	return answer, nil
}
