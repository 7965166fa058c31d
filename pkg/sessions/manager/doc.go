// SPDX-License-Identifier: Apache-2.0

// Package manager applies the rules of package sessions: it joins what was bought (the
// Store) with what is enforced (the Enforcer). Its verbs are those of [Manager].
//
// # Layers
//
// The internal packages have one subject each, and import only those before them:
//
//	wallclock   whether the wall clock can be trusted
//	background  goroutines that no caller waits for
//	running     the table of running sessions: what is due, rates, where a MAC was seen
//	ledger      one transaction and what follows it: durability, events
//	enforce     rules in the kernel, counters, device locks
//	providers   calls of session providers, delivery of usage
//	start       start and stop of sessions
//	identity    where the MAC of a connected device turns up
//	devices     devices with a row, and visitors in memory
//	settle      checkpoints, ends, accounts without a session, Reconcile
//
// # Locks
//
// In the order in which they are taken:
//
//  1. A session's turn (providers.Registry), held over the calls of a provider about that
//     session, so that they are ordered. No other lock is held over a provider's call.
//  2. settling (settle.Settler): one Settle or comparison at a time. It is never taken
//     within a turn, nor a turn within it.
//  3. Device locks (enforce.Lock): enforce.UnknownMAC first, then by id. Their holder has an
//     enforce.Locked, and is the only one to change the device's rule and what runs on it.
//  4. commits (ledger.Ledger): one transaction and its consequences in memory. Reads of the
//     kernel's tables may be made under it, changes may not.
//  5. The store's own.
//
// All others are leaves: they guard memory, and nothing is waited for while one is held.
// Those are the mutexes of the visitors (devices.Devices), running.Table, running.Rates, wallclock.Clock,
// background.Group, start.PendingNext, providers.Registry and its providers, the hub and the
// durability queue of the ledger, the repairs of the Enforcer, and the claim limiter.
// Registry.loading is held over a read of the store, and taken first of all.
package manager
