// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// A claim code is printed with a purchase: who has it may take the purchase to another
// device, again and again. It has 60 random bits in Crockford's base 32, which tells
// no letter from a similar digit, and only its hash is stored.
const (
	claimAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	claimLetters  = 12
	claimGroup    = 4
)

// ClaimHash is what the store keeps of a claim code.
type ClaimHash [sha256.Size]byte

func newClaimCode() string {
	var random [claimLetters]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	var code strings.Builder
	for i, b := range random {
		if i > 0 && i%claimGroup == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(claimAlphabet[int(b)%len(claimAlphabet)])
	}
	return code.String()
}

// hashClaim takes a code as people type it.
func hashClaim(code string) ClaimHash {
	plain := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	return sha256.Sum256([]byte(plain))
}

// Wrong codes, of all callers together: some at once, then one in a while. At that
// speed nobody finds one of a million codes in a thousand years.
const (
	guessEvery  = time.Second
	mostGuesses = 30
)

// guesses counts the wrong codes. Safe for concurrent use.
type guesses struct {
	mu   sync.Mutex
	paid dataplane.Boottime // up to when the wrong ones so far use up what is granted
}

// wait is how long nobody may try a code.
func (g *guesses) wait(now dataplane.Boottime) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paid.Sub(now) - (mostGuesses-1)*guessEvery
}

func (g *guesses) wrong(now dataplane.Boottime) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paid = max(g.paid, now).Add(guessEvery)
}

// Claim moves the purchase of a code to a device, as MoveSession does. Which one it asks
// only when the code is right, so that a wrong one makes none. The code stays valid.
// Codes: NotFound (a wrong code, or no such device), Unavailable (too many wrong codes
// lately), those of MoveSession, and what to returns.
func (m *Manager) Claim(ctx context.Context, code string, to func() (DeviceID, error)) (Session, error) {
	id, err := m.claimed(ctx, code)
	if err != nil {
		return Session{}, err
	}
	device, err := to()
	if err != nil {
		return Session{}, err
	}
	return m.moveSession(ctx, id, device, ReasonClaimed)
}

// claimed returns the session of a code.
func (m *Manager) claimed(ctx context.Context, code string) (SessionID, error) {
	if wait := m.guesses.wait(m.now().boot); wait > 0 {
		return 0, Errorf(Unavailable, "too many wrong codes were tried: try again in %d seconds", wait/time.Second+1)
	}
	var id SessionID
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		id, err = tx.Claim(hashClaim(code))
		return err
	})
	if CodeOf(err) == NotFound {
		m.guesses.wrong(m.now().boot)
	}
	return id, err
}

// RevokeClaim makes the code of a session worthless. Codes: NotFound (it has none).
func (m *Manager) RevokeClaim(ctx context.Context, id SessionID) error {
	return m.update(ctx, func(c *change) error { return c.DeleteClaim(id) })
}
