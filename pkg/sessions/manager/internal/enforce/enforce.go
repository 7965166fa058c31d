// SPDX-License-Identifier: Apache-2.0

// Package enforce applies the rules of running sessions in the kernel, repairs what failed,
// and holds the locks by device under which rules change.
package enforce

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/internal/keylock"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/running"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/wallclock"
)

// Enforcer applies rules in the kernel, and reads what it counted. Safe for concurrent
// use.
type Enforcer struct {
	Kernel sessions.Enforcer
	Static map[dataplane.MAC]dataplane.Rule // of the configuration; read only

	ledger *ledger.Ledger
	clock  *wallclock.Clock
	cfg    Config
	log    *slog.Logger

	locks   keylock.Locks[sessions.DeviceID]
	repairs repairs
}

// Config is what enforcement takes from the agent's configuration.
type Config struct {
	GlobalDownBPS, GlobalUpBPS uint64
	Bind                       sessions.BindMode
	Trusted, Blocked           []dataplane.MAC
	Locate                     func(dataplane.MAC) ([]dataplane.Neighbor, error) // may be nil
	Log                        *slog.Logger
}

// New returns an Enforcer.
func New(kernel sessions.Enforcer, clock *wallclock.Clock, ledger *ledger.Ledger, cfg Config) *Enforcer {
	return &Enforcer{
		Kernel: kernel, Static: sessions.StaticRules(cfg.Trusted, cfg.Blocked),
		ledger: ledger, clock: clock, cfg: cfg, log: cfg.Log,
	}
}

// Locate asks the kernel where a MAC is.
func (e *Enforcer) Locate(mac dataplane.MAC) []dataplane.Neighbor {
	if e.cfg.Locate == nil {
		return nil
	}
	found, err := e.cfg.Locate(mac)
	if err != nil {
		e.log.Warn("neighbour lookup failed", "mac", mac, "error", err)
	}
	return found
}

// RuleOf is what the kernel enforces for a running session of a device that is bound to
// an address.
func (e *Enforcer) RuleOf(s sessions.Session, bound [4]byte, now sessions.Instant) dataplane.Rule {
	rule := sessions.RuleOf(s, e.speeds(), now)
	if e.cfg.Bind == sessions.BindIP {
		rule.Bound = bound
	}
	return rule
}

// Trusted reports whether the configuration lets a MAC through.
func (e *Enforcer) Trusted(mac dataplane.MAC) bool {
	rule, ok := e.Static[mac]
	return ok && rule.Verdict == dataplane.Allow
}

// StaticAccounts returns the accounts of trusted devices.
func (e *Enforcer) StaticAccounts() map[dataplane.Account]bool {
	accounts := make(map[dataplane.Account]bool, len(e.Static))
	for _, rule := range e.Static {
		accounts[rule.Account] = true
	}
	return accounts
}

// LastReading reads the account of a session that is being stopped. A count that
// cannot be read is debited at a checkpoint, as are packets still in flight.
func (e *Enforcer) LastReading(a dataplane.Account) *dataplane.Reading {
	r, err := e.Read(a)
	if err != nil {
		e.log.Warn("last count not read, debited at a checkpoint", "session", sessions.SessionOf(a), "error", err)
	}
	return r
}

// Restore grants again what was revoked for a pause that could not be stored.
func (e *Enforcer) Restore(ctx context.Context, held Locked, id sessions.DeviceID) {
	if err := e.Enforce(ctx, held, id); err != nil {
		e.RepairLater(id, err)
	}
}

// Read returns the counters of an account, nil when the kernel has no such account, as
// before its first grant and after a reboot.
func (e *Enforcer) Read(a dataplane.Account) (*dataplane.Reading, error) {
	r, err := e.Kernel.Read(a)
	if errors.Is(err, dataplane.ErrNoAccount) {
		return nil, nil
	}
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "the kernel's count of session %d cannot be read: %w", sessions.SessionOf(a), err)
	}
	return &r, nil
}

// CountsOf reads the accounts of sessions, as far as the kernel has them.
func (e *Enforcer) CountsOf(list []sessions.Session) (running.Readings, error) {
	read := make(running.Readings, len(list))
	for _, s := range list {
		r, err := e.Read(s.Account())
		if err != nil {
			return nil, err
		}
		if r != nil {
			read[r.Account] = *r
		}
	}
	return read, nil
}

// Refresh reads the account of a session that is about to be granted. A baseline
// that this account cannot have reached is of an earlier one of the same name,
// removed since: it is reset before the account counts again, for otherwise the new
// count would not be debited until it exceeded the old one.
func (e *Enforcer) Refresh(ctx context.Context, _ Locked, s sessions.Session) (sessions.Session, *dataplane.Reading, error) {
	r, err := e.Read(s.Account())
	if err != nil {
		return s, nil, err
	}
	gone := r == nil && s.Meter.Epoch != 0
	behind := r != nil && r.Epoch == s.Meter.Epoch && r.Counters.Spent() < s.Meter.Spent
	if gone || behind {
		s, err = e.rebase(ctx, s.ID, r)
	}
	return s, r, err
}

// rebase stores a reading as the baseline without debiting it; nil stands for no account.
func (e *Enforcer) rebase(ctx context.Context, id sessions.SessionID, r *dataplane.Reading) (sessions.Session, error) {
	var s sessions.Session
	err := e.ledger.Commit(ctx, func(c *ledger.Tx) error {
		var err error
		if s, err = c.Session(id); err != nil {
			return err
		}
		s.Rebase(r)
		return c.Put(&s)
	})
	return s, err
}

// Enforce brings the kernel's rule of a device in line with the store.
func (e *Enforcer) Enforce(ctx context.Context, _ Locked, id sessions.DeviceID) error {
	d, s, err := e.ledger.Lookup(ctx, id)
	switch {
	case err != nil:
		return err
	case s == nil:
		return e.Revoke(d.MAC)
	}
	return e.Grant(d.MAC, e.RuleOf(*s, d.BoundIPv4(), e.clock.Read()))
}

// Grant makes or replaces the rule of a customer.
func (e *Enforcer) Grant(mac dataplane.MAC, rule dataplane.Rule) error {
	if static, ok := e.Static[mac]; ok {
		rule = static
	}
	err := e.Kernel.Grant(mac, rule)
	switch {
	case errors.Is(err, dataplane.ErrFull):
		return sessions.Errorf(sessions.Full, "%s cannot be connected: %w", mac, err)
	case err != nil:
		return sessions.Errorf(sessions.Unavailable, "the kernel did not take the rule of %s: %w", mac, err)
	}
	return nil
}

// Revoke takes a customer's rule away; one that the configuration gives stays.
func (e *Enforcer) Revoke(mac dataplane.MAC) error {
	if rule, ok := e.Static[mac]; ok {
		return e.Grant(mac, rule)
	}
	if err := e.Kernel.Revoke(mac); err != nil {
		return sessions.Errorf(sessions.Unavailable, "the kernel did not remove the rule of %s: %w", mac, err)
	}
	return nil
}

// RepairLater has the next Settle bring a device's rule in line with the store,
// after the kernel failed to take it. In between the kernel enforces the older
// rule with its limit and deadline.
func (e *Enforcer) RepairLater(id sessions.DeviceID, err error) {
	e.log.Error("rule not applied, trying again at the next checkpoint", "device", id, "error", err)
	e.repairs.add(id)
}

// LockAndEnforce is Enforce with the device's lock.
func (e *Enforcer) LockAndEnforce(ctx context.Context, id sessions.DeviceID) error {
	held := e.Lock(id)
	defer held.Unlock()
	return e.Enforce(ctx, held, id)
}

func (e *Enforcer) speeds() sessions.GlobalSpeeds {
	return sessions.GlobalSpeeds{DownBPS: e.cfg.GlobalDownBPS, UpBPS: e.cfg.GlobalUpBPS}
}

// Repairs returns the devices whose rule is to be brought in line, and forgets them.
func (e *Enforcer) Repairs() []sessions.DeviceID { return e.repairs.take() }

// repairs are the devices whose rule the kernel did not take.
type repairs struct {
	mu  sync.Mutex
	ids map[sessions.DeviceID]struct{}
}

func (r *repairs) add(id sessions.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[sessions.DeviceID]struct{})
	}
	r.ids[id] = struct{}{}
}

func (r *repairs) take() []sessions.DeviceID {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := slices.Sorted(maps.Keys(r.ids))
	clear(r.ids)
	return ids
}
