// SPDX-License-Identifier: Apache-2.0

package sessions

import "github.com/hotspot-agent/hotspot-agent/pkg/dataplane"

// speeds are what Config says for sessions that use the global speed.
type speeds struct{ down, up uint64 }

// ruleOf derives what the kernel enforces for a running session. Limit and
// deadline count from the baseline, so that settling does not move them.
func ruleOf(s Session, global speeds, now moment) dataplane.Rule {
	rule := dataplane.Rule{
		Verdict:    dataplane.Allow,
		Account:    s.ID.Account(),
		LimitBytes: dataplane.NoLimit,
		Deadline:   deadline(s, now),
		DownBPS:    s.DownBPS,
		UpBPS:      s.UpBPS,
	}
	if s.metered() {
		rule.LimitBytes = addBytes(s.Meter.Spent, s.RemainingBytes())
	}
	if s.UseGlobalSpeed {
		rule.DownBPS, rule.UpBPS = global.down, global.up
	}
	return rule
}

// deadline is when a running session ends by time or by expiry, 0 for never. The
// expiry bounds only while the wall clock can be believed.
func deadline(s Session, now moment) dataplane.Boottime {
	var end dataplane.Boottime
	if s.timed() {
		end = max(1, s.Meter.At.Add(s.RemainingTime()))
	}
	if expires, ok := s.Expires(); ok && now.sane {
		bound := now.bootOf(expires)
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

// staticRules are the rules of the configuration; blocked wins over trusted.
func staticRules(trusted, blocked []dataplane.MAC) map[dataplane.MAC]dataplane.Rule {
	rules := make(map[dataplane.MAC]dataplane.Rule, len(trusted)+len(blocked))
	for _, mac := range trusted {
		rules[mac] = trustedRule(mac)
	}
	for _, mac := range blocked {
		rules[mac] = dataplane.Rule{Verdict: dataplane.Block}
	}
	return rules
}
