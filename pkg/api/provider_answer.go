// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Of what a provider answers the agent reads at most:
const (
	maxProviderAnswer = 1 << 20  // bytes of a body
	maxProviderHeader = 64 << 10 // bytes of all headers
	maxProviderWords  = 300      // bytes of its own words, which are logged
)

// foundIn reads the answer to get-session. The caller asks answer.err.
func foundIn(answer *object) (found sessions.ProvidedSession, ok bool) {
	if !answer.bool("found") {
		return found, false
	}
	found = sessions.ProvidedSession{Token: answer.string("token"), Data: answer.data("data")}
	if found.Token == "" {
		answer.fail("token", "missing")
	}
	return found, answer.err == nil
}

// pageIn reads the answer to fetch-sessions. The caller asks answer.err.
func pageIn(answer *object, perPage int) sessions.ProvidedPage {
	page := sessions.ProvidedPage{
		Sessions: answer.dataList("sessions"),
		Pages:    int(answer.whole("pages", 0, math.MaxInt32)), Count: int(answer.whole("count", 0, math.MaxInt32)),
	}
	if len(page.Sessions) > perPage {
		answer.fail("sessions", "%d were sent, %d were asked for", len(page.Sessions), perPage)
	}
	return page
}

// words are what a provider says of itself, fit for a log.
func words(text string) string {
	if len(text) <= maxProviderWords {
		return text
	}
	return strconv.QuoteToGraphic(text[:maxProviderWords]) + "…"
}
