// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
)

// Wrong codes, of all callers together: some at once, then one in a while. At that
// rate, finding one of a million codes takes more than a thousand years.
const (
	guessEvery  = time.Second
	mostGuesses = 30
)

// claimLimiter counts the wrong codes. Safe for concurrent use.
type claimLimiter struct {
	mu   sync.Mutex
	paid dataplane.Boottime // up to when the wrong ones so far use up what is granted
}

// wait is how long no code may be tried.
func (g *claimLimiter) wait(now dataplane.Boottime) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paid.Sub(now) - (mostGuesses-1)*guessEvery
}

func (g *claimLimiter) wrong(now dataplane.Boottime) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paid = max(g.paid, now).Add(guessEvery)
}

// Claim moves the purchase of a code to a device, as MoveSession does. Which one it asks
// only when the code is right, so that a wrong one makes none. The code stays valid.
// Codes: NotFound (a wrong code, or no such device), Unavailable (too many wrong codes
// lately), those of MoveSession, and what to returns.
func (m *Manager) Claim(ctx context.Context, code string, to func() (sessions.DeviceID, error)) (sessions.Session, error) {
	now := m.clock.Boot()
	if wait := m.claims.wait(now); wait > 0 {
		return sessions.Session{}, sessions.Errorf(sessions.Unavailable, "too many wrong codes were tried: try again in %d seconds", wait/time.Second+1)
	}
	id, err := sessions.View(ctx, m.ledger.Store, func(tx sessions.Tx) (sessions.SessionID, error) { return tx.Claim(sessions.HashClaim(code)) })
	if sessions.CodeOf(err) == sessions.NotFound {
		m.claims.wrong(now)
	}
	if err != nil {
		return sessions.Session{}, err
	}
	device, err := to()
	if err != nil {
		return sessions.Session{}, err
	}
	return m.moveSession(ctx, id, device, sessions.ReasonClaimed)
}

// RenewClaim gives a session a new code; the one it had is worthless then. It is for a code
// that was lost, on the way to the printer as well. Codes: NotFound, Invalid (the session
// is a provider's, which says whose it is).
func (m *Manager) RenewClaim(ctx context.Context, id sessions.SessionID) (code string, err error) {
	code = sessions.NewClaimCode()
	return code, m.ledger.Update(ctx, func(c *ledger.Tx) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		if s.Provider != sessions.LocalProvider {
			return sessions.Invalidf("id", "session %d is of provider %q, which says whose it is: it has no code", id, s.Provider)
		}
		return c.PutClaim(sessions.HashClaim(code), id)
	})
}

// RevokeClaim makes the code of a session worthless. Codes: NotFound (it has none).
func (m *Manager) RevokeClaim(ctx context.Context, id sessions.SessionID) error {
	return m.ledger.Update(ctx, func(c *ledger.Tx) error { return c.DeleteClaim(id) })
}
