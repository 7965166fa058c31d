// SPDX-License-Identifier: Apache-2.0

// Package sessions holds the rules of prepaid access: what a device bought, which
// session runs, what is left of it, and when it ends. It does no I/O of its own:
// a [Store] keeps what was bought, an [Enforcer] is the kernel, a [Clock] tells
// the time. Package sqlite is the Store, package dataplane the Enforcer.
package sessions
