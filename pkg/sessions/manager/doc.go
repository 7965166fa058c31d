// SPDX-License-Identifier: Apache-2.0

// Package manager applies the rules of package sessions: it joins what was bought (the
// Store) with what is enforced (the Enforcer). Its verbs are those of [Manager].
package manager
