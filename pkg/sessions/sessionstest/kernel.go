// SPDX-License-Identifier: Apache-2.0

package sessionstest

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Kernel is a [sessions.Enforcer] that judges packets as the programs do: it counts
// by account, refuses what does not fit the byte limit and closes the account then
// until the limit changes, and refuses everything from the deadline on. Safe for
// concurrent use.
type Kernel struct {
	clock interface{ Boot() dataplane.Boottime }

	mu       sync.Mutex
	epoch    uint64
	max      int
	rules    map[dataplane.MAC]dataplane.Rule
	accounts map[dataplane.Account]*account
	events   chan dataplane.Event
	hook     func(Call) error
}

type account struct {
	dataplane.Counters
	endedLimit    uint64 // closed until the limit is another
	endedDeadline dataplane.Boottime
	rules         int                // in force that name it
	revoked       dataplane.Boottime // when one went last: packets that it judged are still in flight
}

// gracePeriod is how long packets that were judged by a rule may count to its account
// after the rule went.
const gracePeriod = 10 * time.Millisecond

// final is dataplane.Reading.Final.
func (u *account) final(now dataplane.Boottime) bool {
	return u.rules == 0 && now.Sub(u.revoked) >= gracePeriod
}

// Op names a call of the kernel.
type Op string

// The calls.
const (
	Grant   Op = "grant"
	Revoke  Op = "revoke"
	Read    Op = "read"
	Forget  Op = "forget"
	Rule    Op = "rule"
	ReadAll Op = "read all"
)

// Call is one call that is about to be made.
type Call struct {
	Op      Op
	MAC     dataplane.MAC
	Account dataplane.Account
}

// NewKernel returns a kernel without rules, with room for many.
func NewKernel(clock interface{ Boot() dataplane.Boottime }) *Kernel {
	return &Kernel{
		clock: clock, epoch: 1, max: 1 << 20,
		rules:    make(map[dataplane.MAC]dataplane.Rule),
		accounts: make(map[dataplane.Account]*account),
		events:   make(chan dataplane.Event, 1024),
	}
}

// SetMax sets how many rules there may be.
func (k *Kernel) SetMax(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.max = n
}

// Intercept has fn called before every call; an error of it is the call's, and
// nothing is done then. fn may block; nil ends it.
func (k *Kernel) Intercept(fn func(Call) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hook = fn
}

func (k *Kernel) before(c Call) error {
	k.mu.Lock()
	hook := k.hook
	k.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(c)
}

// Grant makes or replaces the rule of a MAC.
func (k *Kernel) Grant(mac dataplane.MAC, rule dataplane.Rule) error {
	if err := k.before(Call{Op: Grant, MAC: mac, Account: rule.Account}); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.rules[mac]; !ok && len(k.rules) >= k.max {
		return dataplane.ErrFull
	}
	if rule.Account != 0 && k.accounts[rule.Account] == nil {
		k.accounts[rule.Account] = &account{}
	}
	k.unname(mac)
	if u := k.accounts[rule.Account]; u != nil {
		u.rules++
	}
	k.rules[mac] = rule
	return nil
}

// Revoke removes the rule of a MAC.
func (k *Kernel) Revoke(mac dataplane.MAC) error {
	if err := k.before(Call{Op: Revoke, MAC: mac}); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unname(mac)
	delete(k.rules, mac)
	return nil
}

// unname takes the rule of a MAC, if it has one, from its account.
func (k *Kernel) unname(mac dataplane.MAC) {
	if u := k.accounts[k.rules[mac].Account]; u != nil {
		u.rules--
		u.revoked = k.clock.Boot()
	}
}

// Read returns the counters of one account.
func (k *Kernel) Read(a dataplane.Account) (dataplane.Reading, error) {
	if err := k.before(Call{Op: Read, Account: a}); err != nil {
		return dataplane.Reading{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	u := k.accounts[a]
	if u == nil {
		return dataplane.Reading{}, dataplane.ErrNoAccount
	}
	return dataplane.Reading{Account: a, Counters: u.Counters, Final: u.final(k.clock.Boot()), Epoch: k.epoch}, nil
}

// Forget removes an account.
func (k *Kernel) Forget(a dataplane.Account) error {
	if err := k.before(Call{Op: Forget, Account: a}); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.accounts, a)
	return nil
}

// Rule returns the rule of a MAC. No error of a hook changes it.
func (k *Kernel) Rule(mac dataplane.MAC) dataplane.Rule {
	_ = k.before(Call{Op: Rule, MAC: mac})
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.rules[mac]
}

// Rules visits a copy of what is enforced.
func (k *Kernel) Rules() iter.Seq2[dataplane.MAC, dataplane.Rule] {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.All(maps.Clone(k.rules))
}

// ReadAll visits the readings of all accounts.
func (k *Kernel) ReadAll(visit func([]dataplane.Reading) bool) error {
	if err := k.before(Call{Op: ReadAll}); err != nil {
		return err
	}
	visit(k.Readings())
	return nil
}

// Readings returns the readings of all accounts.
func (k *Kernel) Readings() []dataplane.Reading {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []dataplane.Reading
	now := k.clock.Boot()
	for _, a := range slices.Sorted(maps.Keys(k.accounts)) {
		// Slots are shared, unlike the real ones: an index by slot alone is wrong here.
		u := k.accounts[a]
		all = append(all, dataplane.Reading{Account: a, Counters: u.Counters, Final: u.final(now), Epoch: k.epoch, Slot: uint32(a % 4)})
	}
	return all
}

// Events carries the events of limits and deadlines.
func (k *Kernel) Events() <-chan dataplane.Event { return k.events }

// Detach removes all rules and accounts; the next ones are of another epoch.
func (k *Kernel) Detach() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch++
	clear(k.rules)
	clear(k.accounts)
}

// Late counts a packet that was in flight when its rule went.
func (k *Kernel) Late(a dataplane.Account, bytes uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if u := k.accounts[a]; u != nil {
		u.DownBytes += bytes
		u.DownPackets++
	}
}

// Download sends one packet to a client and reports whether it passed. It is up to
// the caller to keep it to the size of a packet.
func (k *Kernel) Download(mac dataplane.MAC, bytes uint64) bool {
	return k.pass(mac, bytes, func(c *dataplane.Counters, _ dataplane.Boottime) { c.DownBytes += bytes; c.DownPackets++ })
}

// Upload sends one packet from a client.
func (k *Kernel) Upload(mac dataplane.MAC, bytes uint64) bool {
	return k.pass(mac, bytes, func(c *dataplane.Counters, now dataplane.Boottime) {
		c.UpBytes += bytes
		c.UpPackets++
		c.LastSeen = now
	})
}

// Fill sends full packets to a client until one is refused, and returns how many
// bytes passed.
func (k *Kernel) Fill(mac dataplane.MAC) uint64 {
	var passed uint64
	for k.Download(mac, 1500) {
		passed += 1500
	}
	return passed
}

func (k *Kernel) pass(mac dataplane.MAC, bytes uint64, count func(*dataplane.Counters, dataplane.Boottime)) bool {
	now := k.clock.Boot()
	k.mu.Lock()
	defer k.mu.Unlock()
	rule, ok := k.rules[mac]
	if !ok || rule.Verdict != dataplane.Allow {
		return false
	}
	u := k.accounts[rule.Account]
	if u == nil {
		return false
	}
	switch {
	case rule.Deadline != 0 && now >= rule.Deadline:
		u.DeadlineDrops++
		k.deadlinePassed(mac, rule, u, now)
		return false
	case u.endedLimit != 0 && u.endedLimit == rule.LimitBytes:
		u.LimitDrops++
		return false
	case rule.LimitBytes != dataplane.NoLimit && u.Spent()+bytes > rule.LimitBytes:
		u.LimitDrops++
		u.endedLimit = rule.LimitBytes
		k.notify(dataplane.Event{Kind: dataplane.Exhausted, MAC: mac, Account: rule.Account, At: now})
		return false
	}
	count(&u.Counters, now)
	return true
}

func (k *Kernel) deadlinePassed(mac dataplane.MAC, rule dataplane.Rule, u *account, now dataplane.Boottime) {
	if u.endedDeadline == rule.Deadline {
		return
	}
	u.endedDeadline = rule.Deadline
	k.notify(dataplane.Event{Kind: dataplane.DeadlinePassed, MAC: mac, Account: rule.Account, At: now})
}

// notify drops the event when the channel is full, as a full ring buffer does.
func (k *Kernel) notify(e dataplane.Event) {
	select {
	case k.events <- e:
	default:
	}
}

// WaitFor waits for a condition that another goroutine brings about.
func WaitFor(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited 10 s for: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
