// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"iter"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// Forget removes the counter of an account, if it exists, with all that is counted
// from now on: forget one whose reading is Final. It fails while a rule names it.
func (t *Table) Forget(account dataplane.Account) error {
	t.lock()
	defer t.mu.Unlock()
	return t.Accounts.forget(account)
}

// Rule returns the rule of a client that is enforced now, the zero Rule for none.
func (t *Table) Rule(mac dataplane.MAC) dataplane.Rule {
	t.lock()
	defer t.mu.Unlock()
	if rule := t.Clients.rule(mac); rule != nil {
		return bpf.RuleFromWire(*rule)
	}
	return dataplane.Rule{}
}

// Rules visits what is enforced, without a copy of all: there may be a million. What
// changes meanwhile may be left out.
func (t *Table) Rules() iter.Seq2[dataplane.MAC, dataplane.Rule] {
	return func(yield func(dataplane.MAC, dataplane.Rule) bool) {
		some := make([]macRule, 0, batchSize)
		for from, more := 0, true; more; from += batchSize {
			some, more = t.rulesBatch(some[:0], from)
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

func (t *Table) rulesBatch(some []macRule, from int) (_ []macRule, more bool) {
	t.lock()
	defer t.mu.Unlock()
	for mac, rule := range t.Clients.between(from, from+batchSize) {
		some = append(some, macRule{mac, bpf.RuleFromWire(*rule)})
	}
	return some, from+batchSize < len(t.Clients.at)
}

// Read returns the counters of one account, or ErrNoAccount.
func (t *Table) Read(id dataplane.Account) (dataplane.Reading, error) {
	t.lock()
	defer t.mu.Unlock()
	index, own := t.Accounts.Find(id)
	if own == nil {
		return dataplane.Reading{}, fmt.Errorf("account %d: %w", id, dataplane.ErrNoAccount)
	}
	return t.reading(index), nil
}

// batchSize is how many accounts are read before the lock is released for others.
const batchSize = 256

// ReadAll visits the counters of every account, some at a time, until visit returns
// false. The slice is used again. It is a pass over memory that does not fail; accounts
// that are made meanwhile may be left out.
func (t *Table) ReadAll(visit func([]dataplane.Reading) bool) {
	readings := make([]dataplane.Reading, 0, batchSize)
	for from, more := 0, true; more; from += batchSize {
		readings, more = t.readBatch(readings[:0], from)
		if len(readings) > 0 && !visit(readings) {
			break
		}
	}
}

func (t *Table) readBatch(readings []dataplane.Reading, from int) (_ []dataplane.Reading, more bool) {
	t.lock()
	defer t.mu.Unlock()
	all := t.Accounts.at
	upTo := min(from+batchSize, len(all))
	for i := min(from, upTo); i < upTo; i++ {
		if all[i].id != 0 {
			readings = append(readings, t.reading(uint32(i)))
		}
	}
	return readings, upTo < len(all)
}

func (t *Table) reading(index uint32) dataplane.Reading {
	counters, final := t.Accounts.read(index)
	return dataplane.Reading{
		Account: t.Accounts.at[index].id, Counters: counters, Final: final, Epoch: t.epoch, Slot: index,
	}
}

// RuleCount is how many rules are in force.
func (t *Table) RuleCount() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Clients.enforced
}
