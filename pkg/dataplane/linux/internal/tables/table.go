// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// Table is the clients and the accounts in the kernel. It sees to it that nothing is
// written that a packet in flight may still read, see bpf/maps.h. Safe for concurrent use.
type Table struct {
	grace    *RCU
	epoch    uint64 // of the counters
	mu       sync.Mutex
	Clients  clients
	Accounts accounts
}

// OpenTable takes over what is in the maps.
func OpenTable(s *pins.Maps, g *RCU) (*Table, error) {
	t := &Table{
		grace:    g,
		epoch:    s.Epoch,
		Clients:  clients{grace: g, keys: s.ClientIndex},
		Accounts: accounts{grace: g, fair: s.Limiter == dataplane.Fair},
	}
	if err := t.adopt(s); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) adopt(s *pins.Maps) (err error) {
	if t.Clients.Values, err = openLazyMmap[bpf.HotspotClient](s.Clients); err != nil {
		return err
	}
	if t.Accounts.Values, err = openLazyMmap[bpf.HotspotAccount](s.Accounts); err != nil {
		return err
	}
	if err := t.Clients.adopt(); err != nil {
		return err
	}
	t.Accounts.adopt()
	queues := uint32(0)
	if t.Accounts.fair {
		queues = s.Flows.MaxEntries()
	}
	t.Accounts.adoptRules(t.Clients.All(), queues)
	// The walk has mapped everything, also what no client uses.
	t.Clients.Values.unmapAll()
	t.Accounts.Values.unmapAll()
	return nil
}

// lock begins an operation. It keeps what is mapped of the tables small: nothing of them
// is held from one operation to the next.
func (t *Table) lock() {
	t.mu.Lock()
	if t.Clients.Values.Chunks >= MaxMmapChunks {
		t.Clients.Values.unmapAll()
	}
	if t.Accounts.Values.Chunks >= MaxMmapChunks {
		t.Accounts.Values.unmapAll()
	}
}

// Close unmaps the tables.
func (t *Table) Close() {
	t.Clients.Values.close()
	t.Accounts.Values.close()
}

// Grant makes or replaces the rule of a client, its account first. It reports whether the
// account is another than that of the former rule.
func (t *Table) Grant(mac dataplane.MAC, rule bpf.HotspotRule) (changed bool, err error) {
	for {
		changed, wait, err := t.tryGrant(mac, rule)
		if err != nil || wait == 0 {
			return changed, err
		}
		if err := t.grace.Wait(wait); err != nil {
			return false, err
		}
	}
}

// tryGrant is Grant, unless packets in flight are in the way: then it says until when.
func (t *Table) tryGrant(mac dataplane.MAC, rule bpf.HotspotRule) (changed bool, wait GracePeriod, err error) {
	t.lock()
	defer t.mu.Unlock()
	made, wait, err := t.Accounts.assign(&rule)
	if wait != 0 || err != nil {
		return false, wait, err
	}
	if now := t.Clients.rule(mac); now != nil && *now == rule {
		return false, 0, nil
	}
	before, wait, err := t.Clients.set(mac, &rule)
	if wait != 0 || err != nil {
		if made {
			// Nothing names the account: refused clients must not fill the table.
			_ = t.Accounts.forget(dataplane.Account(rule.Account))
		}
		return false, wait, err
	}
	t.Accounts.addRule(dataplane.Account(rule.Account))
	if before == nil {
		return true, 0, nil
	}
	t.Accounts.dropRule(dataplane.Account(before.Account))
	return before.Account != rule.Account, 0, nil
}

// Revoke takes the rule of a client out of force.
func (t *Table) Revoke(mac dataplane.MAC) {
	t.lock()
	defer t.mu.Unlock()
	if before := t.Clients.clear(mac); before != nil {
		t.Accounts.dropRule(dataplane.Account(before.Account))
	}
}

// Allowed returns the account of a client that is let through.
func (t *Table) Allowed(mac dataplane.MAC) (dataplane.Account, bool) {
	t.lock()
	defer t.mu.Unlock()
	rule := t.Clients.rule(mac)
	if rule == nil || dataplane.Verdict(rule.Verdict) != dataplane.Allow {
		return 0, false
	}
	return dataplane.Account(rule.Account), true
}

// Refresh grants all rules anew, so that they have the queues that the limiter wants.
func (t *Table) Refresh() error {
	rules := make(map[dataplane.MAC]bpf.HotspotRule, t.Clients.enforced)
	for mac, rule := range t.Clients.All() {
		rules[mac] = *rule
	}
	for mac, rule := range rules {
		if _, err := t.Grant(mac, rule); err != nil {
			return err
		}
	}
	return nil
}
