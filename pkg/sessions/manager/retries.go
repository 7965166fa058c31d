// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Retries has the answers to requests that may be repeated. Safe for concurrent use.
type Retries struct {
	ledger *ledger.Ledger
	clock  *wallclock.Clock
}

// Answer returns what was answered to a key, when the change is on the disk. Codes:
// NotFound, Unavailable.
func (r Retries) Answer(ctx context.Context, key [sha256.Size]byte) (sessions.Answer, error) {
	a, err := sessions.View(ctx, r.ledger.Store, func(tx sessions.Tx) (sessions.Answer, error) { return tx.Answer(key) })
	if err != nil {
		return a, err
	}
	if now := r.clock.Read(); now.WallTrusted && outdated(a.Created, now.Wall) {
		return sessions.Answer{}, sessions.Errorf(sessions.NotFound, "nothing was answered to this key lately")
	}
	return a, r.ledger.Store.Sync() // its change may have failed there
}

func outdated(created, now time.Time) bool {
	return !created.Before(dataplane.EarliestClock) && now.Sub(created) > sessions.AnswerAge
}

// Keep stores the answer to a request that was done.
func (r Retries) Keep(ctx context.Context, q *sessions.Request, sealed []byte) error {
	return r.ledger.Commit(ctx, func(c *ledger.Tx) error {
		return c.PutAnswer(sessions.Answer{Key: q.Key, Request: q.Request, Sealed: sealed, Created: c.Now.Wall})
	})
}
