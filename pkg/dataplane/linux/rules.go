// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Grant makes or replaces the rule of a MAC, its account's counter first. Counters
// are never touched. When it returns nil the next packet is judged by the rule; one
// that is in the programs at this moment may still be judged by the former. Making
// and replacing takes some microseconds; replacing again within a grace period of the
// kernel, some milliseconds, waits for its end.
//
// Errors: ErrFull, with nothing changed; or one that names the offending field.
func (d *Dataplane) Grant(mac dataplane.MAC, rule dataplane.Rule) error {
	wire, err := checkRule(mac, rule)
	if err != nil {
		return err
	}
	before, _ := d.table.allowed(mac)
	if err := d.table.grant(mac, wire); err != nil {
		return err
	}
	if before != rule.Account {
		d.neighbors.watcher.markDirty() // where it is now was no sighting of this account
	}
	return nil
}

func checkRule(mac dataplane.MAC, rule dataplane.Rule) (hotspotRule, error) {
	if err := mac.CheckClient(); err != nil {
		return hotspotRule{}, fmt.Errorf("mac: %w", err)
	}
	switch {
	case rule.Verdict != dataplane.Allow && rule.Verdict != dataplane.Block:
		return hotspotRule{}, fmt.Errorf("verdict %d: want Allow or Block", rule.Verdict)
	case rule.Verdict == dataplane.Allow && rule.Account == 0:
		return hotspotRule{}, fmt.Errorf("account 0: a device that is let through needs one")
	case rule.Deadline < 0:
		return hotspotRule{}, fmt.Errorf("deadline %d: before the machine started", rule.Deadline)
	}
	return ruleToWire(rule)
}

// Revoke removes the rule of a MAC, if it has one. When it returns the next packet
// does not pass; one that is in the programs at this moment may still pass and count
// to the rule's account, see Reading.Final. It takes a microsecond.
func (d *Dataplane) Revoke(mac dataplane.MAC) error {
	d.table.revoke(mac)
	return nil
}

// Forget removes the counter of an account, if it exists, with all that is counted
// from now on: forget one whose reading is Final. It fails while a rule names it.
func (d *Dataplane) Forget(account dataplane.Account) error {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.unmapIdle()
	return d.table.accounts.forget(account)
}

// Rule returns the rule of a client that is enforced now, the zero Rule for none.
func (d *Dataplane) Rule(mac dataplane.MAC) dataplane.Rule {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.unmapIdle()
	if rule := d.table.clients.rule(mac); rule != nil {
		return ruleFromWire(*rule)
	}
	return dataplane.Rule{}
}

// Rules visits what is enforced, without a copy of all: there may be a million. What
// changes meanwhile may be left out.
func (d *Dataplane) Rules() iter.Seq2[dataplane.MAC, dataplane.Rule] {
	return func(yield func(dataplane.MAC, dataplane.Rule) bool) {
		some := make([]macRule, 0, batchSize)
		for from, more := 0, true; more; from += batchSize {
			some, more = d.rulesBatch(some[:0], from)
			for _, g := range some {
				if !yield(g.mac, g.rule) {
					return
				}
			}
		}
	}
}

type macRule struct {
	mac  dataplane.MAC
	rule dataplane.Rule
}

func (d *Dataplane) rulesBatch(some []macRule, from int) (_ []macRule, more bool) {
	d.table.mu.Lock()
	defer d.table.mu.Unlock()
	d.table.unmapIdle()
	for mac, rule := range d.table.clients.between(from, from+batchSize) {
		some = append(some, macRule{mac, ruleFromWire(*rule)})
	}
	return some, from+batchSize < len(d.table.clients.at)
}

// deleteKey removes a key that may not be there.
func deleteKey(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
