// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Grant makes or replaces the rule of a MAC, its account's counter first. Counters
// are never touched. When it returns nil the rule is in force and, where there was
// another, no packet is judged by that one any more. Replacing takes a grace period
// of the kernel, some milliseconds, during which traffic flows by the new rule;
// granting what is granted already costs nothing.
//
// Errors: ErrFull, with nothing changed; or one that names the offending field.
func (d *Dataplane) Grant(mac MAC, rule Rule) error {
	wire, err := checkRule(mac, rule)
	if err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	made, err := d.makeAccount(&wire)
	if err != nil {
		return err
	}
	var before hotspotRule
	err = d.state.Rules.Lookup(macToWire(mac), &before)
	if err == nil && before == wire {
		return nil
	}
	replaces := err == nil
	if err := d.state.Rules.Put(macToWire(mac), &wire); err != nil {
		if made {
			// Nothing names the account: refused clients must not fill the table.
			_ = d.state.removeAccount(rule.Account)
		}
		return d.tableError("rule of "+mac.String(), err)
	}
	if replaces {
		return d.grace.pass()
	}
	return nil
}

func checkRule(mac MAC, rule Rule) (hotspotRule, error) {
	if err := mac.CheckClient(); err != nil {
		return hotspotRule{}, fmt.Errorf("mac: %w", err)
	}
	switch {
	case rule.Verdict != Allow && rule.Verdict != Block:
		return hotspotRule{}, fmt.Errorf("verdict %d: want Allow or Block", rule.Verdict)
	case rule.Verdict == Allow && rule.Account == 0:
		return hotspotRule{}, fmt.Errorf("account 0: a device that is let through needs one")
	case rule.Deadline < 0:
		return hotspotRule{}, fmt.Errorf("deadline %d: before the machine started", rule.Deadline)
	}
	return ruleToWire(rule)
}

// makeAccount makes the counter of a rule's account and its flows' queues, unless
// they are there.
func (d *Dataplane) makeAccount(rule *hotspotRule) (made bool, err error) {
	if rule.Account == 0 {
		return false, nil
	}
	err = d.state.Usages.Update(rule.Account, &hotspotUsage{}, ebpf.UpdateNoExist)
	made = err == nil
	if made || errors.Is(err, ebpf.ErrKeyExist) {
		err = d.state.makeFlows(rule)
	}
	if err == nil {
		return made, nil
	}
	if made {
		_ = d.state.removeAccount(Account(rule.Account))
	}
	return false, d.tableError(fmt.Sprintf("account %d", rule.Account), err)
}

func (d *Dataplane) tableError(what string, err error) error {
	if errors.Is(err, unix.E2BIG) {
		return fmt.Errorf("%s: %w: %d", what, ErrFull, d.maxClients())
	}
	return explain(what, err)
}

// Revoke removes the rule of a MAC, if it has one. When it returns nil no packet
// passes by the rule any more and its account's count is final (and stays
// readable); waiting for that takes some milliseconds. Revokes that run at the
// same time wait together.
func (d *Dataplane) Revoke(mac MAC) error {
	d.writing.RLock()
	defer d.writing.RUnlock()
	err := d.state.Rules.Delete(macToWire(mac))
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return explain("rule of "+mac.String(), err)
	}
	return d.grace.pass()
}

// Forget removes the counter of an account, if it exists. No rule may name it any
// more: Grant and Revoke have seen to it that no packet does either.
func (d *Dataplane) Forget(account Account) error {
	d.writing.RLock()
	defer d.writing.RUnlock()
	if err := d.state.removeAccount(account); err != nil {
		return explain(fmt.Sprintf("account %d", account), err)
	}
	return nil
}

// Rules returns what is enforced now. Rules that change meanwhile may be in it or not.
func (d *Dataplane) Rules() (map[MAC]Rule, error) {
	rules := make(map[MAC]Rule)
	err := walk(d.state.Rules, 0, func(k hotspotMacKey, v *hotspotRule) {
		rules[macFromWire(k)] = ruleFromWire(*v)
	})
	if err != nil {
		return nil, explain("reading the rules", err)
	}
	return rules, nil
}

// makeKey makes a key with a value, unless it is there.
func makeKey(m *ebpf.Map, key, value any) error {
	if err := m.Update(key, value, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return err
	}
	return nil
}

// deleteKey removes a key that may not be there.
func deleteKey(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
