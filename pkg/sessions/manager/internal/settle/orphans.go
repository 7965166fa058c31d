// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"context"
	"maps"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
)

// settleOrphans debits what was counted after sessions stopped, by packets that were in
// flight or passed under a grant that was never stored, and removes the accounts that
// nothing counts to any more. v has all accounts.
func (sr *Settler) settleOrphans(ctx context.Context, v *running.Checkpoint) error {
	inUse := sr.enforce.StaticAccounts()
	var late []dataplane.Reading
	var final []dataplane.Account
	for _, r := range v.Orphaned {
		switch {
		case inUse[r.Account]:
			sr.table.Trusted.Observe(r, v.Now.Boot)
		case r.Final:
			final = append(final, r.Account)
		default:
			late = append(late, r)
		}
	}
	for some := range slices.Chunk(late, ledger.BatchSize) {
		if err := sr.debitAllLate(ctx, some); err != nil {
			return err
		}
	}
	slices.Sort(final)
	for some := range slices.Chunk(final, ledger.BatchSize) {
		if err := sr.forget(context.WithoutCancel(ctx), some); err != nil {
			sr.log.Error("accounts not removed, trying again at the next checkpoint", "error", err)
		}
	}
	return nil
}

// debitAllLate debits readings to sessions that do not run.
func (sr *Settler) debitAllLate(ctx context.Context, readings []dataplane.Reading) error {
	var news []dataplane.Reading
	err := sr.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		for _, r := range readings {
			s, err := orphanedSession(tx, r.Account)
			if err != nil {
				return err
			}
			if s != nil && s.Meter.DiffersFrom(r) {
				news = append(news, r)
			}
		}
		return nil
	})
	if err != nil || len(news) == 0 {
		return err
	}
	return sr.ledger.Commit(ctx, func(c *ledger.Tx) error {
		for _, r := range news {
			if err := debitLate(c, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// sessionOf returns the session of an account, nil for none: it is a trusted device's, or
// of a session that was deleted, or of another history of the database.
func sessionOf(tx sessions.Tx, a dataplane.Account) (*sessions.Session, error) {
	if sessions.IsTrusted(a) {
		return nil, nil
	}
	s, err := tx.Session(sessions.SessionOf(a))
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && s.Account() != a {
		return nil, nil
	}
	return &s, err
}

// orphanedSession returns the session of an account if it exists and does not run.
func orphanedSession(tx sessions.Tx, a dataplane.Account) (*sessions.Session, error) {
	s, err := sessionOf(tx, a)
	if err == nil && s != nil && s.State == sessions.Running {
		return nil, nil
	}
	return s, err
}

// debitLate debits a reading to a session that does not run.
func debitLate(c *ledger.Tx, r dataplane.Reading) error {
	s, err := orphanedSession(c, r.Account)
	if err != nil || s == nil { // deleted, or started just now from a later reading
		return err
	}
	before := s.Used
	if !sessions.DebitBytes(s, r) || s.Used == before {
		return nil
	}
	if s.State.Final() {
		return c.Save(s)
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	return c.SettleIdle(d, s)
}

// forget debits what came late, removes accounts, and resets their baselines, in this
// order: wherever it stops, it can be done again.
func (sr *Settler) forget(ctx context.Context, accounts []dataplane.Account) error {
	held, accounts, err := sr.lockOrphans(ctx, accounts)
	if err != nil {
		return err
	}
	defer held.Unlock()
	var last []dataplane.Reading
	final := accounts[:0]
	for _, a := range accounts {
		r, err := sr.enforce.Read(a)
		if err != nil {
			return err
		}
		if r != nil && !r.Final {
			continue // granted again since
		}
		final = append(final, a)
		if r != nil {
			last = append(last, *r)
		}
	}
	if err := sr.debitAllLate(ctx, last); err != nil {
		return err
	}
	for _, a := range final {
		if err := sr.enforce.Kernel.Forget(a); err != nil {
			return sessions.Errorf(sessions.Unavailable, "the kernel did not remove account %d: %w", a, err)
		}
	}
	return sr.ledger.Commit(ctx, func(c *ledger.Tx) error {
		for _, a := range final {
			if err := resetBaseline(c, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockOrphans locks the devices of accounts, and returns the accounts that no session
// runs on then, and none can be started on: of what went to another device meanwhile
// the lock is not held.
func (sr *Settler) lockOrphans(ctx context.Context, accounts []dataplane.Account) (held enforce.Locked, still []dataplane.Account, err error) {
	owners := make(map[dataplane.Account]sessions.DeviceID, len(accounts))
	look := func(tx sessions.Tx) error {
		for _, a := range accounts {
			if s, err := orphanedSession(tx, a); err != nil {
				return err
			} else if s != nil {
				owners[a] = s.Device
			}
		}
		return nil
	}
	if err := sr.ledger.Store.View(ctx, look); err != nil {
		return held, nil, err
	}
	held = sr.enforce.Lock(slices.Collect(maps.Values(owners))...)
	err = sr.ledger.Store.View(ctx, func(tx sessions.Tx) error {
		for _, a := range accounts {
			s, err := sessionOf(tx, a)
			if err != nil {
				return err
			}
			if s == nil || s.State != sessions.Running && s.Device == owners[a] {
				still = append(still, a)
			}
		}
		return nil
	})
	if err != nil {
		held.Unlock()
		return held, nil, err
	}
	return held, still, nil
}

// resetBaseline resets the baseline of a session whose account is gone.
func resetBaseline(c *ledger.Tx, a dataplane.Account) error {
	s, err := orphanedSession(c, a)
	if err != nil || s == nil {
		return err
	}
	s.Rebase(nil)
	return c.Put(s)
}
