// SPDX-License-Identifier: Apache-2.0

// Package sessions is the domain of prepaid access: what a device bought, which session
// runs, what is left of it, and when it ends. It holds values, pure rules and ports, and
// has no lock, no goroutine and no I/O: a [Store] keeps what was bought, an [Enforcer] is
// the kernel, a [Clock] gives the time, a [Provider] sells sessions elsewhere. Package
// manager applies the rules through these ports.
package sessions
