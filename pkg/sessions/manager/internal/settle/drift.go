// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// drifted returns the devices whose running session the kernel may not hold as it is
// remembered. It goes through the kernel's tables in their order: in another one, each
// look is at a part that has to be mapped first.
func (sr *Settler) drifted() ([]sessions.DeviceID, error) {
	sr.settling.Lock()
	defer sr.settling.Unlock()
	sr.state.round += 2
	read, whole := sr.state.round-1, sr.state.round
	now := sr.clock.Read()
	err := sr.enforce.Kernel.ReadAll(func(some []dataplane.Reading) bool {
		sr.table.Counted(some, read)
		return true
	})
	if err != nil {
		return nil, sessions.Errorf(sessions.Unavailable, "the kernel's counters cannot be read: %w", err)
	}
	for mac, rule := range sr.enforce.Kernel.Rules() {
		s, of, running := sr.table.Session(sessions.SessionID(rule.Account))
		if running && of == mac && sessions.Joined(s, rule, now) && sessions.SameRule(rule, sr.enforce.RuleOf(s, sr.table.Bound(s.ID), now)) {
			sr.table.Pass(s.ID, read, whole)
		}
	}
	return sr.table.Without(whole), nil
}
