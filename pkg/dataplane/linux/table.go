// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// table is the clients and the accounts in the kernel. It sees to it that nothing is
// written that a packet in flight may still read, see bpf/maps.h. Safe for concurrent use.
type table struct {
	grace    *rcuGrace
	mu       sync.Mutex
	clients  clients
	accounts accounts
}

// openTable takes over what is in the maps.
func openTable(s *pinnedMaps, g *rcuGrace) (*table, error) {
	t := &table{
		grace:    g,
		clients:  clients{grace: g, keys: s.ClientIndex},
		accounts: accounts{grace: g, fair: s.limiter == dataplane.Fair},
	}
	if err := t.adopt(s); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *table) adopt(s *pinnedMaps) (err error) {
	if t.clients.values, err = openLazyMmap[hotspotClient](s.Clients); err != nil {
		return err
	}
	if t.accounts.values, err = openLazyMmap[hotspotAccount](s.Accounts); err != nil {
		return err
	}
	if err := t.clients.adopt(); err != nil {
		return err
	}
	t.accounts.adopt()
	queues := uint32(0)
	if t.accounts.fair {
		queues = s.Flows.MaxEntries()
	}
	t.accounts.adoptRules(t.clients.all(), queues)
	// The walk has mapped everything, also what nobody uses.
	t.clients.values.unmapAll()
	t.accounts.values.unmapAll()
	return nil
}

// trim keeps what is mapped of the tables small. The caller holds the lock, and nothing
// of them from before.
func (t *table) unmapIdle() {
	t.clients.values.unmapIdle()
	t.accounts.values.unmapIdle()
}

func (t *table) close() {
	t.clients.values.close()
	t.accounts.values.close()
}

// grant makes or replaces the rule of a client, its account first.
func (t *table) grant(mac dataplane.MAC, rule hotspotRule) error {
	for {
		wait, err := t.tryGrant(mac, rule)
		if err != nil || wait == 0 {
			return err
		}
		if err := t.grace.wait(wait); err != nil {
			return err
		}
	}
}

// tryGrant is grant, unless packets in flight are in the way: then it says until when.
func (t *table) tryGrant(mac dataplane.MAC, rule hotspotRule) (wait gracePeriod, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmapIdle()
	made, wait, err := t.accounts.assign(&rule)
	if wait != 0 || err != nil || t.has(mac, rule) {
		return wait, err
	}
	before, wait, err := t.clients.set(mac, &rule)
	if wait != 0 || err != nil {
		if made {
			// Nothing names the account: refused clients must not fill the table.
			_ = t.accounts.forget(dataplane.Account(rule.Account))
		}
		return wait, err
	}
	t.accounts.addRule(dataplane.Account(rule.Account))
	if before != nil {
		t.accounts.dropRule(dataplane.Account(before.Account))
	}
	return 0, nil
}

func (t *table) has(mac dataplane.MAC, rule hotspotRule) bool {
	now := t.clients.rule(mac)
	return now != nil && *now == rule
}

// revoke takes the rule of a client out of force.
func (t *table) revoke(mac dataplane.MAC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmapIdle()
	if before := t.clients.clear(mac); before != nil {
		t.accounts.dropRule(dataplane.Account(before.Account))
	}
}

// allowed returns the account of a client that is let through.
func (t *table) allowed(mac dataplane.MAC) (dataplane.Account, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmapIdle()
	rule := t.clients.rule(mac)
	if rule == nil || dataplane.Verdict(rule.Verdict) != dataplane.Allow {
		return 0, false
	}
	return dataplane.Account(rule.Account), true
}

// refresh grants all rules anew, so that they have the queues that the limiter wants.
func (t *table) refresh() error {
	rules := make(map[dataplane.MAC]hotspotRule, t.clients.enforced)
	for mac, rule := range t.clients.all() {
		rules[mac] = *rule
	}
	for mac, rule := range rules {
		if err := t.grant(mac, rule); err != nil {
			return err
		}
	}
	return nil
}
