// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// DiffersFrom reports that a reading says something that the baseline does not.
func (b Baseline) DiffersFrom(r dataplane.Reading) bool {
	return r.Epoch != b.Epoch || r.Counters.Spent() != b.Spent
}

// Joined reports that the kernel enforces a rule of this session since it was started,
// and lets packets pass still.
func Joined(s Session, rule dataplane.Rule, now Instant) bool {
	return s.Meter.Boot == now.BootID && Enforces(rule, s) && PassesUntil(rule, now) == now.Boot
}

// Knows reports a reading that does not say less than what was debited.
func (c Counted) Knows(r *dataplane.Reading) bool {
	return r != nil && r.Counters.Spent() >= c.Since(r.Epoch).Spent
}

// Enforces reports whether a rule allows packets on the account of the session, whatever
// its deadline, limit and speed.
func Enforces(rule dataplane.Rule, s Session) bool {
	return rule.Verdict == dataplane.Allow && rule.Account == s.Account()
}

// PassesUntil is when a rule let packets pass last, now if it does still.
func PassesUntil(rule dataplane.Rule, now Instant) dataplane.Boottime {
	if rule.Deadline == 0 {
		return now.Boot
	}
	return min(rule.Deadline, now.Boot)
}

// SameRule leaves out by how much a deadline moves that follows the wall clock.
func SameRule(a, b dataplane.Rule) bool {
	if a.Deadline.Sub(b.Deadline).Abs() < time.Millisecond && (a.Deadline == 0) == (b.Deadline == 0) {
		a.Deadline = b.Deadline
	}
	return a == b
}

// GlobalSpeeds are what Config says for sessions that use the global speed.
type GlobalSpeeds struct{ DownBPS, UpBPS uint64 }

// RuleOf derives what the kernel enforces for a running session. Limit and
// deadline count from the baseline, so that settling does not move them.
func RuleOf(s Session, global GlobalSpeeds, now Instant) dataplane.Rule {
	rule := dataplane.Rule{
		Verdict:    dataplane.Allow,
		Account:    s.Account(),
		LimitBytes: dataplane.NoLimit,
		Deadline:   Deadline(s, now),
		DownBPS:    s.DownBPS,
		UpBPS:      s.UpBPS,
	}
	if s.Type.Metered() {
		rule.LimitBytes = addBytes(s.Meter.Spent, s.RemainingBytes())
	}
	if s.UseGlobalSpeed {
		rule.DownBPS, rule.UpBPS = global.DownBPS, global.UpBPS
	}
	return rule
}

// Deadline is when a running session ends by time or by expiry, 0 for never. The
// expiry bounds only while the wall clock can be believed.
func Deadline(s Session, now Instant) dataplane.Boottime {
	var end dataplane.Boottime
	if s.Type.Timed() {
		end = max(1, s.Meter.At.Add(s.RemainingTime()))
	}
	if expires, ok := s.Expires(); ok && now.WallTrusted {
		bound := now.BootAt(expires)
		if end == 0 || bound < end {
			end = bound
		}
	}
	return end
}

// trustedRule lets a device through, counted and not bounded.
func trustedRule(mac dataplane.MAC) dataplane.Rule {
	return dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.TrustedAccount(mac), LimitBytes: dataplane.NoLimit}
}

// StaticRules are the rules of the configuration; blocked wins over trusted.
func StaticRules(trusted, blocked []dataplane.MAC) map[dataplane.MAC]dataplane.Rule {
	rules := make(map[dataplane.MAC]dataplane.Rule, len(trusted)+len(blocked))
	for _, mac := range trusted {
		rules[mac] = trustedRule(mac)
	}
	for _, mac := range blocked {
		rules[mac] = dataplane.Rule{Verdict: dataplane.Block}
	}
	return rules
}
