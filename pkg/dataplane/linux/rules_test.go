// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

func TestGrantReadRevokeForget(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	rule := dataplane.Rule{
		Verdict: dataplane.Allow, Account: 1 << 63, LimitBytes: 10_000_000, Deadline: kernel.BootNow().Add(time.Hour),
		DownBPS: 10_000_000, UpBPS: 1_000_000,
	}
	check(t, d.Grant(phone, rule))
	check(t, d.Grant(phone, rule))
	rules := maps.Collect(d.Rules())
	if diff := cmp.Diff(map[dataplane.MAC]dataplane.Rule{phone: rule}, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	reading, err := d.Read(rule.Account)
	check(t, err)
	if diff := cmp.Diff(dataplane.Reading{Account: rule.Account, Epoch: d.maps.Epoch}, reading); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
	check(t, d.Revoke(phone))
	check(t, d.Revoke(phone))
	if _, err := d.Read(rule.Account); err != nil {
		t.Errorf("the counter of a revoked rule: %v", err)
	}
	check(t, d.Forget(rule.Account))
	check(t, d.Forget(rule.Account))
	if _, err := d.Read(rule.Account); !errors.Is(err, dataplane.ErrNoAccount) {
		t.Errorf("the counter of a forgotten account: %v", err)
	}
	if got := maps.Collect(d.Rules()); len(got) != 0 {
		t.Errorf("rules at the end: %v", got)
	}
}

// A new rule for an account leaves its count alone.
func TestGrantKeepsCounters(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	check(t, d.Grant(phone, allow))
	b.count(allow.Account, 12345)
	more := allow
	more.LimitBytes = 1 << 40
	check(t, d.Grant(phone, more))
	all, err := readAll(d)
	check(t, err)
	if len(all) != 1 || all[0].Counters.DownBytes != 12345 {
		t.Errorf("readings: %+v", all)
	}
}

func TestFull(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.MaxClients = 4
	d := b.open(opts)
	for i := range 4 {
		check(t, d.Grant(dataplane.MAC{2, 0, 0, 0, 0, byte(i)}, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(i + 1), LimitBytes: dataplane.NoLimit}))
	}
	before := maps.Collect(d.Rules())
	for i := range 5000 { // refused clients must not use the accounts up
		err := d.Grant(phone, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(1000 + i), LimitBytes: dataplane.NoLimit})
		if !errors.Is(err, dataplane.ErrFull) || !strings.HasSuffix(err.Error(), ": 4") {
			t.Fatalf("Grant to a full table: %v", err)
		}
	}
	after := maps.Collect(d.Rules())
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("other clients' rules changed (-before +after):\n%s", diff)
	}
	if all, err := readAll(d); err != nil || len(all) != 4 {
		t.Errorf("%d accounts, %v", len(all), err)
	}
	// A client that is in the table can still be given another rule.
	check(t, d.Grant(dataplane.MAC{2, 0, 0, 0, 0, 3}, dataplane.Rule{Verdict: dataplane.Block}))
}

func TestAccountsFull(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	opts.MaxClients = 1
	d := b.open(opts)
	for i := range maxAccounts(1) {
		check(t, d.Grant(phone, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(i + 1), LimitBytes: dataplane.NoLimit}))
	}
	if err := d.Grant(phone, dataplane.Rule{Verdict: dataplane.Allow, Account: 1 << 40, LimitBytes: dataplane.NoLimit}); !errors.Is(err, dataplane.ErrFull) {
		t.Errorf("Grant with no room for the account: %v", err)
	}
}

func TestBadRules(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	tests := map[string]struct {
		mac   dataplane.MAC
		rule  dataplane.Rule
		names string
	}{
		"zero MAC":       {dataplane.MAC{}, allow, "00:00:00:00:00:00"},
		"multicast MAC":  {dataplane.MAC{1, 0, 0x5e, 0, 0, 1}, allow, "01:00:5e:00:00:01"},
		"no verdict":     {phone, dataplane.Rule{Account: 1}, "verdict 0"},
		"bad verdict":    {phone, dataplane.Rule{Verdict: 9, Account: 1}, "verdict 9"},
		"no account":     {phone, dataplane.Rule{Verdict: dataplane.Allow}, "account 0"},
		"early deadline": {phone, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, Deadline: -5}, "deadline -5"},
		"slow download":  {phone, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, DownBPS: 999}, "DownBPS 999"},
		"fast upload":    {phone, dataplane.Rule{Verdict: dataplane.Allow, Account: 1, UpBPS: dataplane.MaxBPS + 1}, "UpBPS 100000000001"},
	}
	for name, test := range tests {
		if err := d.Grant(test.mac, test.rule); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: Grant: %v, want an error with %q", name, err, test.names)
		}
	}
	if all, err := readAll(d); err != nil || len(all) != 0 {
		t.Errorf("refused rules left accounts: %v, %v", all, err)
	}
}

func TestReadAllOfMany(t *testing.T) {
	b := newBox(t)
	opts := b.options("lan")
	const n = 5000
	opts.MaxClients = n
	d := b.open(opts)
	for i := range n {
		check(t, d.Grant(dataplane.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, dataplane.Rule{Verdict: dataplane.Allow, Account: dataplane.Account(i + 1), LimitBytes: dataplane.NoLimit}))
	}
	all, err := readAll(d)
	check(t, err)
	seen := make(map[dataplane.Account]bool)
	for _, r := range all {
		seen[r.Account] = true
	}
	if len(all) != n || len(seen) != n {
		t.Errorf("%d readings of %d accounts, want %d", len(all), len(seen), n)
	}
	if rules := maps.Collect(d.Rules()); len(rules) != n || d.Status().Clients != n {
		t.Errorf("%d rules, status says %d", len(rules), d.Status().Clients)
	}
}

func TestConcurrentUse(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mac := dataplane.MAC{2, 0, 0, 0, 0, byte(i)}
			for n := range 20 {
				account := dataplane.Account(i*1000 + n + 1)
				err := errors.Join(
					d.Grant(mac, dataplane.Rule{Verdict: dataplane.Allow, Account: account, LimitBytes: dataplane.NoLimit}),
					d.Grant(mac, dataplane.Rule{Verdict: dataplane.Allow, Account: account, LimitBytes: 5, DownBPS: 1_000_000}))
				_, readErr := d.Read(account)
				_, allErr := readAll(d)
				err = errors.Join(err, readErr, allErr, d.Revoke(mac), d.Forget(account))
				if err != nil {
					t.Error(fmt.Errorf("client %d round %d: %w", i, n, err))
					return
				}
				_ = d.Status()
			}
		})
	}
	wg.Wait()
	rules := maps.Collect(d.Rules())
	all, err := readAll(d)
	check(t, err)
	if len(rules)+len(all) != 0 {
		t.Errorf("left over: %v, %v", rules, all)
	}
}

func TestEventsClose(t *testing.T) {
	b := newBox(t)
	d := b.open(b.options("lan"))
	check(t, d.Close())
	select {
	case _, open := <-d.Events():
		if open {
			t.Error("an event out of nothing")
		}
	case <-time.After(atOnce):
		t.Error("Close did not close the events")
	}
}

func readAll(d *Dataplane) (all []dataplane.Reading, err error) {
	err = d.ReadAll(func(some []dataplane.Reading) bool {
		all = append(all, some...)
		return true
	})
	return all, err
}
