// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"iter"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// Grant makes or replaces the rule of a MAC, its account's counter first. Counters
// are never touched. When it returns nil the next packet is judged by the rule; one
// that is in the programs at this time may still be judged by the former. Making
// and replacing takes some microseconds; replacing again within a grace period of the
// kernel, some milliseconds, waits for its end.
//
// Errors: ErrFull, with nothing changed; or one that names the offending field.
func (d *Dataplane) Grant(mac dataplane.MAC, rule dataplane.Rule) error {
	wire, err := checkRule(mac, rule)
	if err != nil {
		return err
	}
	changed, err := d.table.Grant(mac, wire)
	if err != nil {
		return err
	}
	if changed {
		d.neighbors.watcher.MarkDirty() // where it is now was not reported of this account
	}
	return nil
}

func checkRule(mac dataplane.MAC, rule dataplane.Rule) (bpf.HotspotRule, error) {
	if err := mac.CheckClient(); err != nil {
		return bpf.HotspotRule{}, fmt.Errorf("mac: %w", err)
	}
	switch {
	case rule.Verdict != dataplane.Allow && rule.Verdict != dataplane.Block:
		return bpf.HotspotRule{}, fmt.Errorf("verdict %d: want Allow or Block", rule.Verdict)
	case rule.Verdict == dataplane.Allow && rule.Account == 0:
		return bpf.HotspotRule{}, fmt.Errorf("account 0: a device that is let through needs one")
	case rule.Deadline < 0:
		return bpf.HotspotRule{}, fmt.Errorf("deadline %d: before the machine started", rule.Deadline)
	}
	return bpf.RuleToWire(rule)
}

// Revoke removes the rule of a MAC, if it has one. When it returns the next packet
// does not pass; one that is in the programs at this time may still pass and count
// to the rule's account, see Reading.Final. It takes a microsecond.
func (d *Dataplane) Revoke(mac dataplane.MAC) error {
	d.table.Revoke(mac)
	return nil
}

// Forget removes the counter of an account, if it exists, with all that is counted
// from now on: forget one whose reading is Final. It fails while a rule names it.
func (d *Dataplane) Forget(account dataplane.Account) error { return d.table.Forget(account) }

// Rule returns the rule of a client that is enforced now, the zero Rule for none.
func (d *Dataplane) Rule(mac dataplane.MAC) dataplane.Rule { return d.table.Rule(mac) }

// Rules visits what is enforced, without a copy of all: there may be a million. What
// changes meanwhile may be left out.
func (d *Dataplane) Rules() iter.Seq2[dataplane.MAC, dataplane.Rule] { return d.table.Rules() }

// Read returns the counters of one account, or ErrNoAccount.
func (d *Dataplane) Read(id dataplane.Account) (dataplane.Reading, error) { return d.table.Read(id) }

// ReadAll visits the counters of every account, some at a time, until visit returns
// false. The slice is used again. It is a pass over memory that does not fail; accounts
// that are made meanwhile may be left out.
func (d *Dataplane) ReadAll(visit func([]dataplane.Reading) bool) error {
	d.table.ReadAll(visit)
	return nil
}
